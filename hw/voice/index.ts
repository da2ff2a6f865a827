export { VoiceEngine } from "./engine.ts";
export type { Tone, VoicePort, VoiceSession, VoiceStatistics } from "./port.ts";
export type { Sound, VoiceFrame } from "./sound.ts";
