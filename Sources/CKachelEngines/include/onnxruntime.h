// SPDX-License-Identifier: Apache-2.0
//
// The part of ONNX Runtime's C interface that Kachel uses, found in a library that is opened while the program runs, as
// OpenVINO's is.
#ifndef KACHEL_ONNXRUNTIME_H
#define KACHEL_ONNXRUNTIME_H

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

struct ort_allocator;
struct ort_cuda_options;
struct ort_env;
struct ort_memory_info;
struct ort_options;
struct ort_run_options;
struct ort_session;
struct ort_status;
struct ort_tensor_info;
struct ort_type_info;
struct ort_value;

/// The functions that can fail as F(slot, name, arguments): their result is NULL, or says what went wrong and must be
/// released. Those that release something as R(slot, name, type). The interface is a table of functions to which every
/// version of the library only appends, so that a slot means the same in all of them.
#define KACHEL_ONNXRUNTIME_FUNCTIONS(F, R)                                                                             \
  F(3, create_env, (int32_t level, const char *name, struct ort_env *_Nullable *_Nonnull env))                         \
  F(8, create_session_from_array,                                                                                      \
    (const struct ort_env *env, const void *bytes, size_t count, const struct ort_options *options,                    \
     struct ort_session *_Nullable *_Nonnull session))                                                                 \
  F(9, run,                                                                                                            \
    (struct ort_session * session, const struct ort_run_options *_Nullable options,                                    \
     const char *_Nonnull const *_Nonnull input_names, const struct ort_value *_Nonnull const *_Nonnull inputs,        \
     size_t input_count, const char *_Nonnull const *_Nonnull output_names, size_t output_count,                       \
     struct ort_value *_Nullable *_Nonnull outputs))                                                                   \
  F(10, create_options, (struct ort_options * _Nullable * _Nonnull options))                                           \
  F(17, disable_memory_pattern, (struct ort_options * options))                                                        \
  F(23, set_optimization_level, (struct ort_options * options, int32_t level))                                         \
  F(24, set_intra_op_threads, (struct ort_options * options, int32_t count))                                           \
  F(30, get_input_count, (const struct ort_session *session, size_t *count))                                           \
  F(31, get_output_count, (const struct ort_session *session, size_t *count))                                          \
  F(33, get_input_type,                                                                                                \
    (const struct ort_session *session, size_t index, struct ort_type_info *_Nullable *_Nonnull info))                 \
  F(34, get_output_type,                                                                                               \
    (const struct ort_session *session, size_t index, struct ort_type_info *_Nullable *_Nonnull info))                 \
  F(36, get_input_name,                                                                                                \
    (const struct ort_session *session, size_t index, struct ort_allocator *allocator,                                 \
     char *_Nullable *_Nonnull name))                                                                                  \
  F(37, get_output_name,                                                                                               \
    (const struct ort_session *session, size_t index, struct ort_allocator *allocator,                                 \
     char *_Nullable *_Nonnull name))                                                                                  \
  F(49, create_tensor_with_data,                                                                                       \
    (const struct ort_memory_info *info, void *bytes, size_t count, const int64_t *shape, size_t rank, int32_t type,   \
     struct ort_value *_Nullable *_Nonnull value))                                                                     \
  F(55, cast_to_tensor_info,                                                                                           \
    (const struct ort_type_info *info, const struct ort_tensor_info *_Nullable *_Nonnull tensor))                      \
  F(60, get_element_type, (const struct ort_tensor_info *info, int32_t *type))                                         \
  F(61, get_rank, (const struct ort_tensor_info *info, size_t *rank))                                                  \
  F(62, get_lengths, (const struct ort_tensor_info *info, int64_t *lengths, size_t rank))                              \
  F(63, get_length_names,                                                                                              \
    (const struct ort_tensor_info *info, const char *_Nullable *_Nonnull names, size_t rank))                          \
  F(65, get_value_info,                                                                                                \
    (const struct ort_value *value, struct ort_tensor_info *_Nullable *_Nonnull info))                                 \
  F(68, create_memory_info,                                                                                            \
    (const char *name, int32_t allocator, int32_t device, int32_t kind,                                                \
     struct ort_memory_info *_Nullable *_Nonnull info))                                                                \
  F(75, allocate, (struct ort_allocator * allocator, size_t count, void *_Nullable *_Nonnull bytes))                   \
  F(76, deallocate, (struct ort_allocator * allocator, void *_Nullable bytes))                                         \
  F(78, get_default_allocator, (struct ort_allocator * _Nullable * _Nonnull allocator))                                \
  R(92, release_env, ort_env)                                                                                          \
  R(93, release_status, ort_status)                                                                                    \
  R(94, release_memory_info, ort_memory_info)                                                                          \
  R(95, release_session, ort_session)                                                                                  \
  R(96, release_value, ort_value)                                                                                      \
  R(98, release_type_info, ort_type_info)                                                                              \
  R(99, release_tensor_info, ort_tensor_info)                                                                          \
  R(100, release_options, ort_options)                                                                                 \
  F(124, override_length, (struct ort_options * options, const char *name, int64_t length))                            \
  F(130, add_setting, (struct ort_options * options, const char *key, const char *value))                              \
  F(131, create_allocator,                                                                                             \
    (const struct ort_session *session, const struct ort_memory_info *info,                                            \
     struct ort_allocator *_Nullable *_Nonnull allocator))                                                             \
  R(132, release_allocator, ort_allocator)                                                                             \
  F(204, append_cuda, (struct ort_options * options, const struct ort_cuda_options *cuda))                             \
  F(205, create_cuda_options, (struct ort_cuda_options * _Nullable * _Nonnull cuda))                                   \
  F(206, update_cuda_options,                                                                                          \
    (struct ort_cuda_options * cuda, const char *_Nonnull const *_Nonnull keys,                                        \
     const char *_Nonnull const *_Nonnull values, size_t count))                                                       \
  R(208, release_cuda_options, ort_cuda_options)

#define KACHEL_FIELD(slot, name, arguments) struct ort_status *_Nullable(*_Nonnull name) arguments;
#define KACHEL_RELEASE(slot, name, type) void (*_Nonnull name)(struct type * object);
struct kachel_onnxruntime {
  KACHEL_ONNXRUNTIME_FUNCTIONS(KACHEL_FIELD, KACHEL_RELEASE)
  const char *_Nullable (*_Nonnull get_error_message)(const struct ort_status *status);
  /// The library's version, as in "1.32.0".
  const char *_Nonnull version;
};
#undef KACHEL_FIELD
#undef KACHEL_RELEASE

/// Opens the library at a path and finds its functions.
///
/// Returns NULL where that fails, with the reason in `reason` (at most `capacity` bytes with the closing 0). The table
/// and the library stay for the life of the process.
const struct kachel_onnxruntime *_Nullable kachel_onnxruntime_open(const char *path, char *reason, size_t capacity);

/// Opens the CUDA libraries that lie beside the library at a path, so that the engine finds them there. Where none do,
/// the system looks for them.
void kachel_onnxruntime_open_cuda(const char *path);

#pragma clang assume_nonnull end

#endif
