/*
 * Do times tell what the vault keeps to itself? Each operation gets inputs of several classes, in random order, and for
 * each class Welch's t says how surely its times differ from the first one's (Reparaz, Balasch, Verbauwhede 2016,
 * "dude, is my code constant time?"): above 4.5 they do. The slowest tenth is cut off: that is the machine, not the
 * operation.
 *
 *     timing KEY.pem WRAPPED..      each WRAPPED in hex, the first one good
 *     OPERATION CLASS MEDIAN_NS T   one line for each class but the first
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vault.h"

enum { CLASSES_MOST = 4, UNWRAPS = 2400, SHORT_RUNS = 400000 };

static const vault_bytes LABEL = {(const uint8_t *)"label", 5}, TEXT = {(const uint8_t *)"what is said", 12};

typedef struct sample {
  int class;
  double ns;
} sample;

static sample samples[SHORT_RUNS];

#define MUST(condition)                                                          \
  do {                                                                           \
    if (!(condition)) {                                                          \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
      exit(1);                                                                   \
    }                                                                            \
  } while (0)

static double now_ns(void) {
  struct timespec time;
  (void)clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int by_time(const void *a, const void *b) {
  double left = ((const sample *)a)->ns, right = ((const sample *)b)->ns;
  return (left > right) - (left < right);
}

typedef struct moments {
  double count, mean, variance, median;
} moments;

/* Of one class, among the sorted samples that are left. */
static moments moments_of(int class, size_t count) {
  moments all = {0};
  double squares = 0;
  for (size_t at = 0; at < count; at++) {
    if (samples[at].class != class) continue;
    double step = samples[at].ns - all.mean;
    all.mean += step / ++all.count;
    squares += step * (samples[at].ns - all.mean);
  }
  all.variance = squares / (all.count - 1);
  double seen = 0;
  for (size_t at = 0; at < count && seen <= all.count / 2; at++) {
    if (samples[at].class != class) continue;
    seen++;
    all.median = samples[at].ns;
  }
  return all;
}

static void tell(const char *operation, const char *const names[], int classes, size_t count) {
  qsort(samples, count, sizeof *samples, by_time);
  count = count / 10 * 9;
  moments first = moments_of(0, count);
  for (int class = 1; class < classes; class++) {
    moments own = moments_of(class, count);
    double t = (own.mean - first.mean) / sqrt(own.variance / own.count + first.variance / first.count);
    printf("%s %s %.0f %.0f %.3f\n", operation, names[class], first.median, own.median, t);
  }
}

/* ---- operations ---- */

static vault_handle pair, mac_slot, open_slot;
static uint8_t wrapped[CLASSES_MOST][VAULT_WRAP_BYTES], right_tag[VAULT_MAC_BYTES], sealed[12 + VAULT_TAG_BYTES];

/* @returns nanoseconds */
static double unwrap(int class) {
  static uint8_t place[VAULT_WRAP_BYTES]; /* the same for all classes: where bytes lie takes time too */
  vault_handle secret;
  memcpy(place, wrapped[class], sizeof place);
  double before = now_ns();
  vault_result result = vault_unwrap(pair, LABEL, (vault_bytes){place, sizeof place}, &secret);
  double took = now_ns() - before;
  MUST(result == (class == 0 ? VAULT_OK : VAULT_UNWRAP));
  (void)vault_wipe(secret);
  return took;
}

static double compare(int class) {
  static uint8_t tag[VAULT_MAC_BYTES];
  int holds;
  memcpy(tag, right_tag, sizeof tag);
  tag[class == 1 ? 0 : VAULT_MAC_BYTES - 1] ^= (uint8_t)(class != 0);
  double before = now_ns();
  (void)vault_mac_matches(mac_slot, TEXT, (vault_bytes){tag, sizeof tag}, &holds);
  double took = now_ns() - before;
  MUST(holds == (class == 0));
  return took;
}

/* Both forged, in the first or in the last byte of the tag. */
static double open_forged(int class) {
  static uint8_t packet[sizeof sealed], clear[sizeof sealed];
  memcpy(packet, sealed, sizeof packet);
  packet[class == 0 ? sizeof sealed - VAULT_TAG_BYTES : sizeof sealed - 1] ^= 1;
  double before = now_ns();
  vault_result result = vault_open_sealed(open_slot, 0, LABEL, (vault_bytes){packet, sizeof packet}, clear);
  double took = now_ns() - before;
  MUST(result == VAULT_FORGED);
  return took;
}

static void measure(const char *operation, const char *const names[], int classes, size_t runs,
                    double (*run)(int)) {
  for (size_t at = 0; at < runs; at++) {
    int class = rand() % classes;
    samples[at] = (sample){class, run(class)};
  }
  tell(operation, names, classes, runs);
}

static void prepare(const char *key_file, char **hex, int classes) {
  uint8_t spki[VAULT_SPKI_BYTES];
  vault_handle wrap, derive, seal_slot;
  MUST(vault_open(NULL) == VAULT_OK && vault_load_key_pair(key_file, &pair, spki) == VAULT_OK);
  MUST(vault_new_secret(&wrap, &derive) == VAULT_OK);
  MUST(vault_derive(VAULT_MAC, 32, &derive, 1, LABEL, TEXT, &mac_slot) == VAULT_OK);
  MUST(vault_derive(VAULT_PACKET_SEAL, VAULT_STREAM_KEY_BYTES, &derive, 1, LABEL, TEXT, &seal_slot) == VAULT_OK);
  MUST(vault_derive(VAULT_PACKET_OPEN, VAULT_STREAM_KEY_BYTES, &derive, 1, LABEL, TEXT, &open_slot) == VAULT_OK);
  MUST(vault_mac(mac_slot, TEXT, right_tag) == VAULT_OK);
  MUST(vault_seal(seal_slot, 0, LABEL, TEXT, sealed) == VAULT_OK);
  for (int class = 0; class < classes; class++) {
    for (size_t at = 0; at < VAULT_WRAP_BYTES; at++) {
      unsigned byte;
      MUST(sscanf(hex[class] + 2 * at, "%2x", &byte) == 1);
      wrapped[class][at] = (uint8_t)byte;
    }
  }
}

int main(int count, char **arguments) {
  static const char *const blocks[] = {"good", "other-label", "damaged", "other-prefix"};
  static const char *const tags[] = {"right", "wrong-first-byte", "wrong-last-byte"};
  static const char *const forged[] = {"first-byte", "last-byte"};
  MUST(count == 2 + CLASSES_MOST);
  prepare(arguments[1], arguments + 2, CLASSES_MOST);
  srand((unsigned)time(NULL));
  measure("unwrap", blocks, CLASSES_MOST, UNWRAPS, unwrap);
  measure("mac", tags, 3, SHORT_RUNS, compare);
  measure("open", forged, 2, SHORT_RUNS, open_forged);
  return 0;
}
