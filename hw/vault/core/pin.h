/* A PIN on its way in. See pin.c. */
#ifndef FELDFON_VAULT_PIN_H
#define FELDFON_VAULT_PIN_H

#include "vault.h"

typedef struct pin_entry {
  uint8_t digits[VAULT_PIN_DIGITS_MOST]; /* ASCII, zeros behind them */
  uint8_t count;
} pin_entry;

/* Moves the digits typed out of the slot, which is wiped in any case; VAULT_SHORT_PIN. In a long operation. */
vault_result pin_use_up(vault_handle pin, pin_entry *typed);

#endif
