/**
 * The `laptop` board's hardware: a thread of its own that holds the page, so that neither drawing nor a slow browser
 * ever keeps a voice packet waiting.
 *
 *     hand thread  -- rows, captions, light -->  page thread  == one WebSocket ==  browser
 *                  <-- presses, keys ----------
 *     line thread  <-- 20 ms of sound, both ways, straight -->
 *
 * Everything is bounded: a browser that does not read gets the rows it missed when it reads again and loses the sound
 * of the meantime; a thread that does not read loses sound.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { WebSocket } from "ws";
import { openLocalPage, textOf } from "./local-page.ts";
import { type FromPage, HEAD_BYTES, PICTURE, parseFromPage, SOUND, SOUND_BYTES, type ToPage } from "./page/wire.ts";
import type { FromPageThread, PageThreadSetup, ToPageThread } from "./page-thread-messages.ts";

/** More than this under way to one browser, and pictures wait. */
const MOST_PICTURE_BYTES = 512 * 1024;
/** A fifth of a second of sound. */
const MOST_SOUND_BYTES = 10 * SOUND_BYTES;
/** Frames under way to the line thread. */
const MOST_FRAMES = 25;
const CATCH_UP_MS = 50;

interface Visitor {
  socket: WebSocket;
  listens: boolean;
  /** Rows that differ from what the browser has. */
  from: number;
  to: number;
}

const { width, height, port, sound } = workerData as PageThreadSetup;
const hand = parentPort!;
const picture = new Uint16Array(width * height);
const visitors = new Set<Visitor>();
let caption: ToPage | undefined;
let light: ToPage | undefined;
/** Whose microphone is heard. */
let speaker: Visitor | undefined;
let framesUnderWay = 0;

const tell = (message: FromPageThread): void => hand.postMessage(message);

const page = await openLocalPage({
  ports: [port],
  folders: new Map([
    ["/", new URL("./page/", import.meta.url)],
    ["/handset/", new URL("./page/", import.meta.url)],
  ]),
  onVisitor: (socket) => enter(socket),
});
const catchingUp = setInterval(() => {
  for (const visitor of visitors) bringUpToDate(visitor);
}, CATCH_UP_MS);
hand.on("message", take);
sound.on("message", hear);
tell({ tell: "opened", address: page.address });

function take(message: ToPageThread): void {
  switch (message.do) {
    case "rows":
      picture.set(message.pixels, message.from * width);
      for (const visitor of visitors) {
        visitor.from = Math.min(visitor.from, message.from);
        visitor.to = Math.max(visitor.to, message.from + message.pixels.length / width);
        bringUpToDate(visitor);
      }
      break;
    case "caption":
      caption = { say: "caption", caption: message.caption };
      for (const visitor of visitors) say(visitor, caption);
      break;
    case "light":
      light = { say: "light", light: message.light };
      for (const visitor of visitors) say(visitor, light);
      break;
    case "close":
      clearInterval(catchingUp);
      page.close();
      (sound as MessagePort).close();
      hand.close();
      break;
    default:
      message satisfies never;
  }
}

function enter(socket: WebSocket): void {
  const visitor: Visitor = { socket, listens: false, from: 0, to: height };
  visitors.add(visitor);
  socket.on("close", () => {
    visitors.delete(visitor);
    if (speaker === visitor) speaker = undefined;
  });
  socket.on("message", (data, isBinary) => {
    if (isBinary) said(visitor, data as Buffer);
    else obey(visitor, parseFromPage(textOf(data)));
  });
  say(visitor, { say: "hello", width, height });
  if (caption) say(visitor, caption);
  if (light) say(visitor, light);
  bringUpToDate(visitor);
}

function obey(visitor: Visitor, asked: FromPage | undefined): void {
  switch (asked?.do) {
    case "press":
      tell({ tell: "press", button: asked.button });
      break;
    case "key":
      tell({ tell: "key", key: asked.key });
      break;
    case "listen":
      visitor.listens = asked.on;
      break;
    case "speak":
      if (asked.on) speaker = visitor;
      else if (speaker === visitor) speaker = undefined;
      break;
    case "enter":
    case undefined:
      break;
    default:
      asked satisfies never;
  }
}

function say(visitor: Visitor, message: ToPage): void {
  // A browser that has not read for half a megabyte of words is not looking.
  if (visitor.socket.bufferedAmount > 2 * MOST_PICTURE_BYTES) visitor.socket.terminate();
  else visitor.socket.send(JSON.stringify(message));
}

function bringUpToDate(visitor: Visitor): void {
  const { socket, from, to } = visitor;
  if (from >= to || socket.bufferedAmount > MOST_PICTURE_BYTES) return;
  const pixels = picture.subarray(from * width, to * width);
  const message = Buffer.alloc(HEAD_BYTES + pixels.byteLength);
  message[0] = PICTURE;
  message.writeUInt16LE(from, 2);
  message.set(new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength), HEAD_BYTES);
  socket.send(message);
  visitor.from = height;
  visitor.to = 0;
}

/** From the line thread: 20 ms to play, or how many of ours it has taken. */
function hear(message: Int16Array | number): void {
  if (typeof message === "number") {
    framesUnderWay -= message;
    return;
  }
  sound.postMessage(1);
  let packed: Buffer | undefined;
  for (const { socket, listens } of visitors) {
    if (!listens || socket.bufferedAmount > MOST_SOUND_BYTES) continue;
    packed ??= soundMessage(message);
    socket.send(packed);
  }
}

function soundMessage(frame: Int16Array): Buffer {
  const message = Buffer.alloc(SOUND_BYTES);
  message[0] = SOUND;
  message.set(new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength), HEAD_BYTES);
  return message;
}

function said(visitor: Visitor, message: Buffer): void {
  if (visitor !== speaker || message.length !== SOUND_BYTES || message[0] !== SOUND) return;
  if (framesUnderWay >= MOST_FRAMES) return;
  framesUnderWay++;
  const frame = new Int16Array(new Uint8Array(message.subarray(HEAD_BYTES)).buffer);
  sound.postMessage(frame, [frame.buffer]);
}
