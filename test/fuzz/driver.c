/*
 * Runs a target without libFuzzer:
 *
 *     target CORPUS..          every input of these files, one hex line each
 *     target SECONDS SEED      random inputs; one that fails is left in fuzz-failed.hex
 */
#include <signal.h>
#include <time.h>

#include "fuzz.h"

enum { INPUT_BYTES_MAX = 4096 };

static uint8_t input[INPUT_BYTES_MAX];
static size_t length;

static void keep_input(int signal_number) {
  FILE *file = fopen("fuzz-failed.hex", "w");
  if (file) {
    for (size_t at = 0; at < length; at++) fprintf(file, "%02x", input[at]);
    fputs("\n", file);
    fclose(file);
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

static int run_corpus(const char *path) {
  static char line[2 * INPUT_BYTES_MAX + 2];
  FILE *file = fopen(path, "r");
  MUST(file);
  int inputs = 0;
  for (; fgets(line, sizeof line, file); inputs++) {
    unsigned byte;
    for (length = 0; sscanf(line + 2 * length, "%2x", &byte) == 1; length++) input[length] = (uint8_t)byte;
    MUST(line[2 * length] == '\n');
    (void)LLVMFuzzerTestOneInput(input, length);
  }
  fclose(file);
  return inputs;
}

static int run_random(long seconds, unsigned seed) {
  srand(seed);
  time_t end = time(NULL) + seconds;
  int inputs = 0;
  for (; time(NULL) < end; inputs++) {
    length = (size_t)(rand() % INPUT_BYTES_MAX);
    for (size_t at = 0; at < length; at++) input[at] = (uint8_t)(rand() >> 8);
    (void)LLVMFuzzerTestOneInput(input, length);
  }
  return inputs;
}

int main(int count, char **arguments) {
  char *end = NULL;
  int inputs = 0;
  signal(SIGABRT, keep_input);
  long seconds = count == 3 ? strtol(arguments[1], &end, 10) : 0;
  if (end && *end == 0) inputs = run_random(seconds, (unsigned)strtoul(arguments[2], NULL, 10));
  else for (int at = 1; at < count; at++) inputs += run_corpus(arguments[at]);
  printf("%d inputs\n", inputs);
  return inputs == 0;
}
