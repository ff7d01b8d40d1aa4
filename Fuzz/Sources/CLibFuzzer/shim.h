#include <stddef.h>
#include <stdint.h>

// The entry of libFuzzer for programs that have a main function of their own; LLVM ships no header that declares it.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*test)(const uint8_t *data, size_t size));
