/* The device's part of the key. See device.c. In a long operation. */
#ifndef FELDFON_VAULT_DEVICE_H
#define FELDFON_VAULT_DEVICE_H

#include "vault.h"

enum { DEVICE_SECRET_BYTES_LEAST = 16, DEVICE_SECRET_BYTES_MOST = 256 };

/* VAULT_NO_DEVICE whatever the cause; then `secret` is zeros. */
vault_result device_read(const vault_device *device, uint8_t secret[DEVICE_SECRET_BYTES_MOST], size_t *length);

#ifdef VAULT_TESTING
extern int device_timeout_ms;
#endif

#endif
