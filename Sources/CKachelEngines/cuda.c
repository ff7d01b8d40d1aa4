// SPDX-License-Identifier: Apache-2.0
#include "CKachelEngines.h"

#include <dlfcn.h>
#include <stddef.h>

int kachel_cuda_device_count(void) {
  // The driver's own library, which a machine has exactly where it has a driver. It is never closed.
  void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!driver) return -1;
  int (*initialize)(unsigned) = (int (*)(unsigned))dlsym(driver, "cuInit");
  int (*count_devices)(int *) = (int (*)(int *))dlsym(driver, "cuDeviceGetCount");
  int count = 0;
  // 100 is the driver's word for a machine without a device.
  int status = initialize && count_devices ? initialize(0) : -1;
  if (status == 100) return 0;
  return status == 0 && count_devices(&count) == 0 ? count : -1;
}
