// SPDX-License-Identifier: Apache-2.0
//
// The part of OpenVINO's C interface that Kachel uses, found in a library that is opened while the program runs. Nothing
// is linked: a program without an engine starts, and says what is missing when one is asked for.
#ifndef KACHEL_OPENVINO_H
#define KACHEL_OPENVINO_H

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

struct ov_core;
struct ov_model;
struct ov_port;
struct ov_compiled_model;
struct ov_infer_request;
struct ov_tensor;

struct ov_version {
  const char *_Nullable build_number;
  const char *_Nullable description;
};

/// An axis' length: fixed where both are equal. An open length is 0 to -1 or to the largest number.
struct ov_dimension {
  int64_t min;
  int64_t max;
};

struct ov_partial_shape {
  struct ov_dimension rank;
  struct ov_dimension *_Nullable dims;
};

struct ov_shape {
  int64_t rank;
  int64_t *_Nullable dims;
};

/// Every function as F(result, name without "ov_", arguments). A result of int32_t is a status: 0, or negative.
#define KACHEL_OPENVINO_FUNCTIONS(F)                                                                                   \
  F(int32_t, get_openvino_version, (struct ov_version * version))                                                      \
  F(void, version_free, (struct ov_version * version))                                                                 \
  F(const char *_Nullable, get_last_err_msg, (void))                                                                   \
  F(void, free, (const char *_Nullable text))                                                                          \
  F(int32_t, core_create, (struct ov_core * _Nullable * _Nonnull core))                                                \
  F(void, core_free, (struct ov_core * core))                                                                          \
  F(int32_t, core_read_model,                                                                                          \
    (const struct ov_core *core, const char *path, const char *_Nullable weights,                                      \
     struct ov_model *_Nullable *_Nonnull model))                                                                      \
  F(int32_t, core_read_model_from_memory_buffer,                                                                       \
    (const struct ov_core *core, const char *bytes, size_t count, const struct ov_tensor *_Nullable weights,           \
     struct ov_model *_Nullable *_Nonnull model))                                                                      \
  F(int32_t, core_compile_model,                                                                                       \
    (const struct ov_core *core, const struct ov_model *model, const char *device, size_t string_count,                \
     struct ov_compiled_model *_Nullable *_Nonnull compiled, ...))                                                     \
  F(void, model_free, (struct ov_model * model))                                                                       \
  F(int32_t, model_inputs_size, (const struct ov_model *model, size_t *count))                                         \
  F(int32_t, model_outputs_size, (const struct ov_model *model, size_t *count))                                        \
  F(int32_t, model_const_input_by_index,                                                                               \
    (const struct ov_model *model, size_t index, struct ov_port *_Nullable *_Nonnull port))                            \
  F(int32_t, model_const_output_by_index,                                                                              \
    (const struct ov_model *model, size_t index, struct ov_port *_Nullable *_Nonnull port))                            \
  F(int32_t, model_reshape_single_input, (const struct ov_model *model, struct ov_partial_shape shape))                \
  F(void, output_const_port_free, (struct ov_port * port))                                                             \
  F(int32_t, port_get_any_name, (const struct ov_port *port, char *_Nullable *_Nonnull name))                          \
  F(int32_t, port_get_partial_shape, (const struct ov_port *port, struct ov_partial_shape *shape))                     \
  F(int32_t, port_get_element_type, (const struct ov_port *port, int32_t *type))                                       \
  F(int32_t, partial_shape_create,                                                                                     \
    (int64_t rank, const struct ov_dimension *dims, struct ov_partial_shape *shape))                                   \
  F(void, partial_shape_free, (struct ov_partial_shape * shape))                                                       \
  F(int32_t, shape_create, (int64_t rank, const int64_t *dims, struct ov_shape *shape))                                \
  F(int32_t, shape_free, (struct ov_shape * shape))                                                                    \
  F(int32_t, compiled_model_output_by_index,                                                                           \
    (const struct ov_compiled_model *compiled, size_t index, struct ov_port *_Nullable *_Nonnull port))                \
  F(int32_t, compiled_model_create_infer_request,                                                                      \
    (const struct ov_compiled_model *compiled, struct ov_infer_request *_Nullable *_Nonnull request))                  \
  F(void, compiled_model_free, (struct ov_compiled_model * compiled))                                                  \
  F(int32_t, tensor_create_from_host_ptr,                                                                              \
    (int32_t type, struct ov_shape shape, void *bytes, struct ov_tensor *_Nullable *_Nonnull tensor))                  \
  F(int32_t, tensor_get_byte_size, (const struct ov_tensor *tensor, size_t *count))                                    \
  F(int32_t, tensor_get_shape, (const struct ov_tensor *tensor, struct ov_shape *shape))                               \
  F(void, tensor_free, (struct ov_tensor * tensor))                                                                    \
  F(int32_t, infer_request_set_input_tensor_by_index,                                                                  \
    (struct ov_infer_request * request, size_t index, const struct ov_tensor *tensor))                                 \
  F(int32_t, infer_request_set_output_tensor_by_index,                                                                 \
    (struct ov_infer_request * request, size_t index, const struct ov_tensor *tensor))                                 \
  F(int32_t, infer_request_get_output_tensor_by_index,                                                                 \
    (const struct ov_infer_request *request, size_t index, struct ov_tensor *_Nullable *_Nonnull tensor))              \
  F(int32_t, infer_request_infer, (struct ov_infer_request * request))                                                 \
  F(void, infer_request_free, (struct ov_infer_request * request))

#define KACHEL_FIELD(result, name, arguments) result(*_Nonnull name) arguments;
struct kachel_openvino {
  KACHEL_OPENVINO_FUNCTIONS(KACHEL_FIELD)
};
#undef KACHEL_FIELD

/// Opens the library at a path and finds all its functions.
///
/// Returns NULL where that fails, with the reason in `reason` (at most `capacity` bytes with the closing 0). The table
/// and the library stay for the life of the process, as the engine's threads do.
const struct kachel_openvino *_Nullable kachel_openvino_open(const char *path, char *reason, size_t capacity);

/// Compiles a model with four settings, given as key, value, key, value, ... Swift cannot call a variadic function.
int32_t kachel_openvino_compile(const struct kachel_openvino *openvino, const struct ov_core *core,
                                const struct ov_model *model, const char *device,
                                const char *_Nonnull const settings[_Nonnull 8],
                                struct ov_compiled_model *_Nullable *_Nonnull compiled);

#pragma clang assume_nonnull end

#endif
