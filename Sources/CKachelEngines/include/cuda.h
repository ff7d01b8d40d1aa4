// SPDX-License-Identifier: Apache-2.0
#ifndef KACHEL_CUDA_H
#define KACHEL_CUDA_H

/// How many CUDA devices the NVIDIA driver of this machine offers; -1 where there is no driver, or where it does not
/// work.
int kachel_cuda_device_count(void);

#endif
