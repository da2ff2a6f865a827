/** What the hand gives the page thread at its start, and what the two say to each other. */
import type { MessagePort } from "node:worker_threads";
import type { Caption } from "../display/port.ts";
import type { Light } from "./port.ts";

export interface PageThreadSetup {
  width: number;
  height: number;
  /** 0: any free one. */
  port: number;
  /** To the line thread: 320 samples each way, and the count of frames taken. @see PageSound in hw/voice */
  sound: MessagePort;
}

export type ToPageThread =
  | { do: "rows"; from: number; pixels: Uint16Array }
  | { do: "caption"; caption: Caption }
  | { do: "light"; light: Light }
  | { do: "close" };

export type FromPageThread =
  | { tell: "opened"; address: string }
  /** As the browser wrote it. */
  | { tell: "press"; button: string }
  | { tell: "key"; key: string };
