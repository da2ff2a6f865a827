/* Voice packets. See srtp.c. Under the vault's lock, on a secret stack. */
#ifndef FELDFON_VAULT_SRTP_H
#define FELDFON_VAULT_SRTP_H

#include "vault.h"

enum {
  EPOCH_PACKETS = 3000,
  WINDOW_PACKETS = 128,
  EPOCHS_AHEAD = 2, /* one further ahead is not tried: two minutes of nothing but loss */
  MASTER_KEY_BYTES = 32,
  MASTER_SALT_BYTES = 12,
  KDF_SALT_BYTES = 14,
  RATCHET_BYTES_MOST = 256
};

struct media;

/* What of it is secret goes with it; NULL is harmless. */
void media_free(struct media *media);
/* Index of the first packet of what is made from now on: for tests. */
void media_start(uint64_t index);

/* AES-CM key derivation with 256 bits (RFC 3711 4.3.3, RFC 6188 2); 0 when OpenSSL failed. */
int srtp_kdf(const uint8_t key[MASTER_KEY_BYTES], const uint8_t salt[KDF_SALT_BYTES], uint8_t label, uint8_t *out,
             size_t length);
/* The index nearest to the highest seen that ends in this sequence number (RFC 3711 3.3.1), maybe below 0. */
int64_t guess_index(uint16_t sequence, int64_t highest);

struct session {
  uint64_t epoch;
  uint64_t key_number; /* seal.h; 0: the place is empty */
  uint8_t key[MASTER_KEY_BYTES];
  uint8_t salt[MASTER_SALT_BYTES];
};

vault_result seal_packet(const struct session *session, const uint8_t header[VAULT_SRTP_HEADER_BYTES], uint64_t index,
                         vault_bytes payload, uint8_t *packet);
/* sealed: what follows the header */
vault_result open_packet(const struct session *session, const uint8_t header[VAULT_SRTP_HEADER_BYTES], uint64_t index,
                         vault_bytes sealed, uint8_t *payload);

#endif
