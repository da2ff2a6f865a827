/*
 * The process closes itself to others of the same user, before there is anything to see.
 *
 *     not dumpable        nobody but root opens /proc/PID/mem or attaches; no core, also none through a pipe
 *     core limit 0        hard, so that no child gets one either
 *     no new privileges   no program started from here is more than this one
 *     SIGUSR1 ignored     it would open Node's inspector
 *
 * Each step stands by itself: what one system refuses says nothing about the others.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "vault.h"

void vault_harden(vault_hardening *after) {
  const struct rlimit none = {0, 0};
  struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
  *after = (vault_hardening){.sigusr1_ignored = signal(SIGUSR1, SIG_IGN) != SIG_ERR};
  (void)prctl(PR_SET_DUMPABLE, 0);
  (void)setrlimit(RLIMIT_CORE, &none);
  (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // Told is what the kernel says afterwards, not what was asked of it.
  after->dumpable = prctl(PR_GET_DUMPABLE) != 0;
  after->new_privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
  (void)getrlimit(RLIMIT_CORE, &limit);
  after->core_limit = limit.rlim_max;
}
