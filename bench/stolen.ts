/**
 * How much of a machine its host gave to other guests. A run of which they took a good part says more about them than
 * about us.
 */
import { readFileSync } from "node:fs";

/** Of all processors together, since the machine started (proc(5), /proc/stat). */
export function procStat(): string {
  return readFileSync("/proc/stat", "latin1");
}

/** @returns percent of the CPU time that was wanted between two readings of /proc/stat, two digits of it */
export function stolenPercentBetween(before: string, after: string): number {
  const [from, to] = [ticksIn(before), ticksIn(after)];
  const stolen = to.stolen - from.stolen;
  return Number(((100 * stolen) / (to.ran - from.ran + stolen || 1)).toPrecision(2));
}

function ticksIn(stat: string): { ran: number; stolen: number } {
  const [, user, nice, system, , , irq, softirq, stolen] = stat.split("\n", 1)[0]!.split(/ +/).map(Number);
  return { ran: user! + nice! + system! + irq! + softirq!, stolen: stolen! };
}
