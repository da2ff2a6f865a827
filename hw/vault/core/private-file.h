/* Files that hold keys, read into the arena and written out of it. See private-file.c. In a long operation. */
#ifndef FELDFON_VAULT_PRIVATE_FILE_H
#define FELDFON_VAULT_PRIVATE_FILE_H

#include "vault.h"

enum { PRIVATE_FILE_BYTES_MAX = 16 * 1024 };

/* A block of the arena, to be given back; VAULT_NO_KEY, VAULT_KEY_FILE_OPEN, VAULT_BAD_KEY when it is no file of ours. */
vault_result private_file_read(const char *path, uint8_t **bytes, size_t *length);
/* Whole or not at all; VAULT_FILE and errno. `pair` 0, or what has to be alive still when the new file takes the name. */
vault_result private_file_write(const char *path, vault_bytes bytes, vault_handle pair);

#endif
