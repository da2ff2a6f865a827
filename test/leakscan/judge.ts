/** What a scene has to show: nothing with memfd_secret, and a scanner that bites in the controls. */
import type { Place } from "./scanner.ts";
import { CRASH, type Look, type Scene, type SceneResult } from "./scenes.ts";

export interface Verdict {
  holds: boolean;
  sentence: string;
}

/** A control with fewer is no control. */
const DEGRADED_HITS = 100;
const ARENA_BYTES = 3 * 1024 * 1024;
const SECRET_MEMORY = /^\/secretmem/;
/** The kernel's own pages, which no process can read of another. */
const CLOSED = /^\[(vvar|vvar_vclock|vsyscall)\]$/;

const isHit = ({ hits, algebraic }: Place): boolean => hits + algebraic > 0;

export function judge(scene: Scene, { looks, needles, secrets }: SceneResult): Verdict {
  const faults = [...(scene.watched && secrets === 0 ? ["no secret of the session was told"] : [])];
  const places = looks.flatMap((look) => look.places);
  const hits = places.reduce((sum, place) => sum + place.hits, 0);
  const algebraic = places.reduce((sum, place) => sum + place.algebraic, 0);
  switch (scene.vault) {
    case "":
      faults.push(...looks.flatMap(leaks), ...looks.flatMap((look) => blindness(look, scene)));
      break;
    case "locked":
      if (hits === 0 || algebraic === 0) faults.push("nothing was found in the arena: the scanner is blind");
      faults.push(...looks.flatMap((look) => leaks({ ...look, places: look.places.filter(({ locked }) => !locked) })));
      break;
    case "degraded":
      if (hits <= DEGRADED_HITS || algebraic === 0) faults.push(`more than ${DEGRADED_HITS} hits were expected`);
      faults.push(
        ...looks.filter(({ places }) => !places.some(isHit)).map(({ moment, owner }) => `blind: ${moment}, ${owner}`),
      );
      break;
    default:
      scene.vault satisfies never;
  }
  const facts = `${looks.length} looks, ${needles} needles, ${secrets} secrets of the session, ${hits} hits, ${algebraic} algebraic`;
  return { holds: faults.length === 0, sentence: [facts, ...new Set(faults)].join("\n       ") };
}

function leaks({ moment, owner, places }: Look): string[] {
  return places.filter(isHit).map(({ name, algebraic, found }) => {
    const what = found.map(({ needle, count, longestBytes }) => `${needle} x${count} (${longestBytes} bytes)`);
    return `${moment}, ${owner}, ${name}: ${[...what, ...(algebraic ? [`algebraic x${algebraic}`] : [])].join(", ")}`;
  });
}

/** What was not read must be the arena and nothing else, and the arena must be there. A core has no such mappings, and what is shipped leaves none. */
function blindness({ moment, owner, places }: Look, { watched }: Scene): string[] {
  if (moment === CRASH) {
    if (watched === places.length > 0) return [];
    return [watched ? `no core file of ${owner}: see /proc/sys/kernel/core_pattern` : `${owner} left a core file`];
  }
  const closed = places.filter(({ unreadableBytes }) => unreadableBytes > 0);
  const arena = closed.find(({ name, unreadableBytes }) => SECRET_MEMORY.test(name) && unreadableBytes >= ARENA_BYTES);
  const others = closed.filter(({ name }) => !SECRET_MEMORY.test(name) && !CLOSED.test(name));
  return [
    ...(arena ? [] : [`${owner} has no arena in secret memory`]),
    ...others.map(({ name, unreadableBytes }) => `${owner}: ${unreadableBytes} bytes of ${name} could not be read`),
  ];
}
