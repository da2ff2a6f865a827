/*
 * The vault's core: keys and secrets in memory that nobody else can read, used by handle (research of the design: a
 * private static OpenSSL >= 3.5 whose complete heap lies in the arena, each operation on a stack that lies there too).
 *
 *     caller --bytes--> vault_* --handle--> slot table --> OpenSSL, heap and stack in the arena
 *            <--public results only--
 *
 *     arena    | guard | slots, OpenSSL's heap, secret stacks | guard |     memfd_secret, else anonymous and locked
 *
 * Free of Node: C tests, fuzzers and a helper process use it as it is. Callable from any thread. RSA and key pairs
 * take long and run on a stack and under a lock of their own; everything else is short and never waits for them.
 * No call returns a secret; a build with VAULT_TESTING has some that do (vault_testing.h), the shipped one lacks them.
 */
#ifndef FELDFON_VAULT_H
#define FELDFON_VAULT_H

#include <stddef.h>
#include <stdint.h>

/* What went wrong, one word each: the skin gives it to JavaScript as the code of a VaultError. */
typedef enum vault_result {
  VAULT_OK = 0,
  VAULT_NO_MEMORY,             /* "full": the arena has no room */
  VAULT_FULL,                  /* "full": too many slots */
  VAULT_NO_SUCH_SLOT,          /* "no-such-slot": this vault never gave the handle out */
  VAULT_EMPTY_SLOT,            /* "empty-slot": wiped */
  VAULT_WRONG_USE,             /* "wrong-use" */
  VAULT_WRONG_LENGTH,          /* "wrong-length" */
  VAULT_COUNTER,               /* "counter" */
  VAULT_FORGED,                /* "forged" */
  VAULT_NO_KEY,                /* "no-key": nothing at the path */
  VAULT_BAD_KEY,               /* "bad-key": not RSA-4096 with e = 65537 in PKCS#8, or not this vault's file */
  VAULT_UNWRAP,                /* "unwrap": the same for every cause */
  VAULT_BAD_POINT,             /* "bad-point" */
  VAULT_BAD_ENCAPSULATION_KEY, /* "bad-encapsulation-key" (FIPS 203 7.2) */
  VAULT_BAD_CIPHERTEXT,        /* "bad-ciphertext" */
  VAULT_NO_PROTECTION,         /* "no-protection": neither memfd_secret nor a locked mapping could be had */
  VAULT_WRONG_LIBRARY,         /* "wrong-library": header and library of OpenSSL differ */
  VAULT_FILE,                  /* "file": the system refused to save; errno says why */
  VAULT_KEY_FILE_OPEN,         /* "key-file-open": others than its owner may touch the key file */
  VAULT_EXHAUSTED,             /* "exhausted": 2^48 voice packets were sealed */
  VAULT_BAD_DIGIT,             /* "bad-digit" */
  VAULT_SHORT_PIN,             /* "short-pin": fewer than VAULT_PIN_DIGITS_LEAST */
  VAULT_BAD_PIN,               /* "bad-pin" */
  VAULT_SAME_PIN,              /* "same-pin": the PIN and the one under duress would be equal */
  VAULT_NO_DEVICE,             /* "no-device": the device's secret cannot be had */
  VAULT_OTHER_DEVICE,          /* "other-device": sealed on a device of another kind */
  VAULT_INTERNAL               /* "internal": a mistake of ours, or OpenSSL failed where it cannot */
} vault_result;

/* index (20 bits) | kind (4) | generation (32); 0 is never given out. A stale generation is VAULT_EMPTY_SLOT. */
typedef uint64_t vault_handle;

typedef enum vault_use {
  VAULT_DERIVE = 1,
  VAULT_STREAM_SEAL,
  VAULT_STREAM_OPEN,
  VAULT_PACKET_SEAL,
  VAULT_PACKET_OPEN,
  VAULT_MAC,
  VAULT_WRAP,
  VAULT_PIN
} vault_use;

typedef enum vault_algorithm { VAULT_X25519 = 1, VAULT_ML_KEM_768 = 2 } vault_algorithm;

enum {
  VAULT_SPKI_BYTES = 550,
  VAULT_SIGNATURE_BYTES = 512,
  VAULT_WRAP_BYTES = 512,
  VAULT_SECRET_BYTES = 48,
  VAULT_STREAM_KEY_BYTES = 44, /* key 32 | iv 12 */
  VAULT_TAG_BYTES = 16,
  VAULT_MAC_BYTES = 32,
  VAULT_MAC_BYTES_LEAST = 16,
  VAULT_X25519_BYTES = 32,
  VAULT_ENCAPSULATION_KEY_BYTES = 1184,
  VAULT_CIPHERTEXT_BYTES = 1088,
  VAULT_DERIVE_BYTES_MAX = 8160,
  VAULT_KEY_PAIRS_MAX = 256,
  VAULT_SRTP_HEADER_BYTES = 12,
  VAULT_PIN_DIGITS_LEAST = 6,
  VAULT_PIN_DIGITS_MOST = 12
};

/* Bytes of a caller; read once, never kept. */
typedef struct vault_bytes {
  const uint8_t *at;
  size_t length;
} vault_bytes;

/* ---- ground ---- */

typedef enum vault_backend { VAULT_MEMFD_SECRET = 1, VAULT_LOCKED = 2 } vault_backend;

typedef struct vault_options {
  size_t arena_bytes;      /* 0: 4 MiB for a handset; a server with many lines asks for more */
  uint32_t slots_max;      /* 0: 65,536; 2 .. 2^20 - 256; slots and ephemerals together */
  vault_backend backend;   /* 0: the best there is; VAULT_LOCKED forces the fallback (tests, leak scan's control) */
} vault_options;

typedef struct vault_status {
  vault_backend backend;
  char library[64];        /* e.g. "OpenSSL 3.5.7 9 Jun 2026" */
  size_t arena_bytes;
  size_t arena_used;       /* live blocks */
  size_t arena_peak;
  uint32_t slots_in_use;   /* a slot that voice has taken over counts on, once */
  uint32_t slots_max;
  uint32_t key_pairs;      /* not among the slots; VAULT_KEY_PAIRS_MAX is their end */
  int dumpable;            /* prctl(PR_GET_DUMPABLE) */
  uint64_t core_limit;     /* RLIMIT_CORE, soft */
  int hwrng;               /* 64 bytes of /dev/hwrng were mixed into the generator at the start */
} vault_status;

/* Once per process; a second call with the vault open is VAULT_INTERNAL. Must run before anything else of this OpenSSL. */
vault_result vault_open(const vault_options *options);
void vault_get_status(vault_status *status);
/* Wipes everything: what was begun before and ends after brings nothing back to life. The vault stays open. */
void vault_wipe_all(void);
const char *vault_word(vault_result result);

/* ---- the process ---- */

/* As the kernel tells it afterwards. */
typedef struct vault_hardening {
  int dumpable;
  int new_privileges;
  int sigusr1_ignored;
  uint64_t core_limit; /* RLIMIT_CORE, hard */
} vault_hardening;

/* Closes the process to others of the same user. Needs no open vault; a second call is harmless. */
void vault_harden(vault_hardening *after);

/* ---- slots ---- */

/* Harmless for 0 and for what is wiped already; VAULT_NO_SUCH_SLOT for what was never given out. Key pairs too. */
vault_result vault_wipe(vault_handle handle);

/* 48 fresh random bytes twice: once to be wrapped for public keys, once to derive from. */
vault_result vault_new_secret(vault_handle *wrap, vault_handle *derive);

/* RSAES-OAEP, SHA-256, MGF1-SHA-256, of "+++secret+++" | secret. Only slots of VAULT_WRAP. Public keys read lately are kept. */
vault_result vault_wrap(vault_bytes spki, vault_bytes label, vault_handle secret, uint8_t wrapped[VAULT_WRAP_BYTES]);

/* RSASSA-PSS, SHA-256, MGF1-SHA-256, salt 32. Nothing of it is secret, but who is wrapped for has mostly signed before. */
vault_result vault_verify(vault_bytes spki, vault_bytes message, vault_bytes signature, int *holds);

/* HKDF-SHA-256 (RFC 5869) of the joined slots. Never VAULT_WRAP; sealing uses have exactly 44 bytes. */
vault_result vault_derive(vault_use use, size_t length, const vault_handle *material, size_t materials, vault_bytes salt,
                          vault_bytes info, vault_handle *derived);
/* A stream slot's 44 bytes become HKDF of themselves; its counter goes on. */
vault_result vault_rekey(vault_handle stream, vault_bytes salt, vault_bytes info);

/*
 * AES-256-GCM; nonce = iv XOR (0^4 | u64 counter). Stream: exactly 0, 1, 2 ..; packet: only rises; never above 2^53 - 1.
 * out: clear.length + 16; the same place as clear or apart from it.
 */
vault_result vault_seal(vault_handle slot, uint64_t counter, vault_bytes aad, vault_bytes clear, uint8_t *out);
/* A failed open moves no counter and leaves out zeroed. out: sealed.length - 16. */
vault_result vault_open_sealed(vault_handle slot, uint64_t counter, vault_bytes aad, vault_bytes sealed, uint8_t *out);

vault_result vault_mac(vault_handle slot, vault_bytes message, uint8_t mac[VAULT_MAC_BYTES]);
/* Constant time; a tag of 16..32 bytes. *holds is 0 or 1. */
vault_result vault_mac_matches(vault_handle slot, vault_bytes message, vault_bytes tag, int *holds);

/* ---- key agreement ---- */

/* public_key: 32 (X25519) or 1,184 bytes (ML-KEM-768 encapsulation key). */
vault_result vault_make_ephemeral(vault_algorithm algorithm, vault_handle *ephemeral, uint8_t *public_key);
/* Both use the ephemeral up, whatever comes of it. */
vault_result vault_agree(vault_handle ephemeral, vault_bytes peer, vault_handle *secret);
vault_result vault_decapsulate(vault_handle ephemeral, vault_bytes ciphertext, vault_handle *secret);
vault_result vault_encapsulate(vault_bytes encapsulation_key, uint8_t ciphertext[VAULT_CIPHERTEXT_BYTES],
                               vault_handle *secret);

/* ---- key pairs: long, for a thread of the caller's pool ---- */

vault_result vault_make_key_pair(vault_handle *pair, uint8_t spki[VAULT_SPKI_BYTES]);
/* PKCS#8 in PEM (RFC 5958, RFC 7468), at most 16 KiB, read straight into the arena. */
vault_result vault_load_key_pair(const char *path, vault_handle *pair, uint8_t spki[VAULT_SPKI_BYTES]);
/* Whole or not at all: temporary file beside it, mode 0600, fsync, rename, fsync of the folder. */
vault_result vault_save_key_pair(vault_handle pair, const char *path);
/* RSASSA-PSS, SHA-256, MGF1-SHA-256, salt 32. */
vault_result vault_sign(vault_handle pair, vault_bytes message, uint8_t signature[VAULT_SIGNATURE_BYTES]);
/* OAEP; strips "+++secret+++" inside; 48 bytes; room for the slot is checked first, so that a full vault answers good and bad alike. */
vault_result vault_unwrap(vault_handle pair, vault_bytes label, vault_bytes wrapped, vault_handle *secret);

/* ---- the PIN: typed digit by digit into a slot of its own ---- */

vault_result vault_new_pin(vault_handle *pin);
/* A thirteenth digit is not taken. *typed: how many there are now. VAULT_BAD_DIGIT. */
vault_result vault_pin_push(vault_handle pin, uint32_t digit, uint32_t *typed);
vault_result vault_pin_pop(vault_handle pin, uint32_t *typed);
vault_result vault_pin_digits(vault_handle pin, uint32_t *typed);
/* What was typed becomes the first entry, and is to be typed once more. */
vault_result vault_pin_keep(vault_handle pin);
/* Constant time. 1: the digits stay; 0: both entries are forgotten. */
vault_result vault_pin_matches_kept(vault_handle pin, int *matches);

/* ---- keys at rest: sealed under a PIN and the device's secret (sealed-file.c); long, for a thread of the caller's pool ---- */

typedef enum vault_device_kind { VAULT_DEVICE_NONE, VAULT_TPM, VAULT_FIRMWARE_CRYPTO, VAULT_OTP } vault_device_kind;

/* Where the vault reads 16..256 bytes: all that a file holds, or all that a command prints before it ends with 0. */
typedef struct vault_device {
  uint8_t kind;
  int is_command;
  vault_bytes words; /* the file's path, or program and arguments, each with a zero behind it */
} vault_device;

/* Each wipes the PIN, whatever comes of it: VAULT_SHORT_PIN, then what the file says, VAULT_OTHER_DEVICE, VAULT_NO_DEVICE. */

/* VAULT_BAD_PIN. *pair is 0 when what was opened is no key: the PIN under duress. */
vault_result vault_load_sealed(vault_handle pin, const char *path, const vault_device *device, vault_handle *pair,
                               uint8_t spki[VAULT_SPKI_BYTES]);
/* Argon2id with so much memory (8 KiB .. 1 GiB) and so many passes (1 .. 16). Without a PIN under duress. Whole or not at all. */
vault_result vault_save_sealed(vault_handle pin, vault_handle pair, const char *path, const vault_device *device,
                               uint32_t memory_kib, uint32_t passes);
/* Seals anew what lies at path; the PIN under duress stays. VAULT_SAME_PIN. */
vault_result vault_change_pin(vault_handle pin, vault_handle pair, const char *path, const vault_device *device);
/* VAULT_SAME_PIN. Nobody can tell from the file whether it has one. */
vault_result vault_set_duress_pin(vault_handle pin, const char *path, const vault_device *device);

/* ---- media: SRTP AEAD_AES_256_GCM (RFC 3711, 7714, 6188), key turned on every 3,000 packets, window of 128 (wire.md VOICE) ---- */

typedef struct vault_media_profile {
  uint32_t ssrc;
  vault_bytes ratchet_salt; /* HKDF salt and info of the next epoch's 44 bytes; at most 256 bytes each, copied */
  vault_bytes ratchet_info;
} vault_media_profile;

typedef enum vault_refusal {
  VAULT_PACKET_GOOD = 0,
  VAULT_PACKET_MALFORMED, /* "malformed" */
  VAULT_PACKET_REPLAYED,  /* "replayed" */
  VAULT_PACKET_TOO_OLD,   /* "too-old" */
  VAULT_PACKET_FORGED     /* "forged" */
} vault_refusal;

/* Takes the slot over: from now on it serves nothing else and is wiped with the sender. A slot that has sealed is VAULT_WRONG_USE. */
vault_result vault_srtp_sender(vault_handle packet_seal, const vault_media_profile *profile);
/* packet: payload.length + 28. */
vault_result vault_srtp_seal(vault_handle packet_seal, vault_bytes payload, uint32_t timestamp, uint8_t *packet);
vault_result vault_srtp_receiver(vault_handle packet_open, const vault_media_profile *profile);
/* payload: room for packet.length - 28; zeros when *refusal is VAULT_PACKET_FORGED, untouched when it is another. */
vault_result vault_srtp_open(vault_handle packet_open, vault_bytes packet, vault_refusal *refusal, uint64_t *index,
                             uint32_t *timestamp, uint8_t *payload);

/* ---- for our other addons (design 5): this table behind a type-tagged external ---- */

#define VAULT_TABLE_VERSION 1
typedef struct vault_table {
  uint32_t version;
  uint32_t bytes; /* sizeof(vault_table) */
  vault_result (*srtp_seal)(vault_handle, vault_bytes, uint32_t, uint8_t *);
  vault_result (*srtp_open)(vault_handle, vault_bytes, vault_refusal *, uint64_t *, uint32_t *, uint8_t *);
  vault_result (*seal)(vault_handle, uint64_t, vault_bytes, vault_bytes, uint8_t *);
  vault_result (*open)(vault_handle, uint64_t, vault_bytes, vault_bytes, uint8_t *);
  vault_result (*wipe)(vault_handle);
} vault_table;

const vault_table *vault_get_table(void);

#endif
