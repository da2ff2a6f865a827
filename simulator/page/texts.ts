/** The words of the simulator's page. Displays speak the language their handsets were started with. */
import type { Language } from "@feldfon/hw/board/page/texts";
import type { Note, WireState } from "./messages.ts";

export interface PageTexts {
  title: string;
  about: string;
  language: string;
  server: string;
  serverState: { running: string; down: string };
  port: string;
  epoch: string;
  rows: string;
  root: string;
  vault: string;
  protection: Readonly<Record<string, string>>;
  kill: string;
  start: string;
  add: string;
  remove: string;
  /** {name} */
  wireOf: string;
  /** {name} */
  displayOf: string;
  /** {name} */
  doTo: string;
  wires: Record<WireState, string>;
  wireHints: Record<WireState, string>;
  ladder: string;
  ladderHint: string;
  all: string;
  show: string;
  pause: string;
  goOn: string;
  empty: string;
  bytes: string;
  arrived: string;
  lost: string;
  step: string;
  /** What stands in braces comes from the facts. */
  notes: Record<Note, string>;
  erased: Record<string, string>;
  same: readonly [no: string, yes: string];
  /** What to do first, in this order. */
  coach: readonly string[];
  switchTo: string;
  gone: string;
}

export const PAGE_TEXTS: Record<Language, PageTexts> = {
  en: {
    title: "Feldfon",
    about: "An encrypted field telephone. Each handset and the server is a process of its own on this machine.",
    language: "Language of this page",
    server: "Server",
    serverState: { running: "running", down: "down" },
    port: "port",
    epoch: "epoch",
    rows: "in the directory",
    root: "root",
    vault: "vault:",
    protection: { memfd_secret: "shielded", locked: "memory locked", degraded: "basic protection only" },
    kill: "Kill (kill -9)",
    start: "Start again",
    add: "Add a handset",
    remove: "Remove",
    wireOf: "Line of {name}",
    displayOf: "Language of {name}'s display: a setting, so it is switched off and on",
    doTo: "What may happen to {name}",
    wires: { open: "Line whole", stalled: "Dead spot", cut: "Line cut" },
    wireHints: { open: "everything passes", stalled: "nothing breaks, nothing passes", cut: "the cable is pulled" },
    ladder: "What goes over the wire",
    ladderHint: "Kind and size, never what it says.",
    all: "all handsets",
    show: "Show",
    pause: "Pause",
    goOn: "Go on",
    empty: "Nothing yet. Connect a handset.",
    bytes: "bytes",
    arrived: "arrived",
    lost: "did not arrive yet",
    step: "step",
    notes: {
      connected: "connected, phonebook verified",
      resumed: "line back, without RSA",
      disconnected: "line gone: {code}",
      left: "took its leave",
      rings: "it really rings over there",
      "in-call": "keys agreed, both displays show {numbers}",
      voice: "voice: {sent} packets sent, {received} came, {lost} lost, each {bytes} bytes, sealed",
      ended: "call over, {erased}",
      updated: "updated; root recomputed: {same}",
      evidence: "the server told two stories; evidence kept",
      started: "started",
      stopped: "stopped",
      killed: "killed",
      cut: "line cut",
      stalled: "dead spot: nothing passes",
      restored: "line whole again",
    },
    erased: { both: "keys erased on both sides", here: "keys erased here only", none: "there were no keys" },
    same: ["NOT the server's", "the same as the server's"],
    coach: [
      "Press “{connect}” on both handsets",
      "“{call}” on one, choose, “{call}” again",
      "“{call}” on the other answers",
      "Compare the five numbers, then speak",
      "“{hangUp}”: the keys are erased",
    ],
    switchTo: "other handset",
    gone: "The simulator has ended. Start it again with make run.",
  },
  de: {
    title: "Feldfon",
    about: "Ein verschlüsseltes Feldtelefon. Jedes Gerät und der Server ist ein eigener Prozess auf diesem Rechner.",
    language: "Sprache dieser Seite",
    server: "Server",
    serverState: { running: "läuft", down: "aus" },
    port: "Port",
    epoch: "Epoche",
    rows: "im Verzeichnis",
    root: "Wurzel",
    vault: "Tresor:",
    protection: { memfd_secret: "abgeschirmt", locked: "Speicher gesperrt", degraded: "einfacher Schutz" },
    kill: "Abschießen (kill -9)",
    start: "Wieder starten",
    add: "Gerät hinzufügen",
    remove: "Entfernen",
    wireOf: "Leitung von {name}",
    displayOf: "Sprache der Anzeige von {name}: eine Einstellung, dafür geht es aus und wieder an",
    doTo: "Was {name} zustoßen kann",
    wires: { open: "Leitung ok", stalled: "Funkloch", cut: "Gekappt" },
    wireHints: { open: "alles geht durch", stalled: "nichts bricht, nichts geht durch", cut: "das Kabel ist gezogen" },
    ladder: "Was über die Leitung geht",
    ladderHint: "Art und Größe, nie der Inhalt.",
    all: "alle Geräte",
    show: "Zeige",
    pause: "Anhalten",
    goOn: "Weiter",
    empty: "Noch nichts. Ein Gerät verbinden.",
    bytes: "Bytes",
    arrived: "angekommen",
    lost: "noch nicht angekommen",
    step: "Schritt",
    notes: {
      connected: "verbunden, Telefonbuch geprüft",
      resumed: "Leitung wieder da, ohne RSA",
      disconnected: "Leitung weg: {code}",
      left: "hat sich abgemeldet",
      rings: "drüben klingelt es wirklich",
      "in-call": "Schlüssel vereinbart, beide Anzeigen zeigen {numbers}",
      voice: "Sprache: {sent} Pakete gesendet, {received} angekommen, {lost} verloren, je {bytes} Bytes, versiegelt",
      ended: "Gespräch vorbei, {erased}",
      updated: "aktualisiert; Wurzel nachgerechnet: {same}",
      evidence: "der Server erzählte zwei Geschichten; Beweis aufbewahrt",
      started: "gestartet",
      stopped: "beendet",
      killed: "abgeschossen",
      cut: "Leitung gekappt",
      stalled: "Funkloch: nichts geht durch",
      restored: "Leitung wieder ganz",
    },
    erased: {
      both: "Schlüssel auf beiden Seiten gelöscht",
      here: "Schlüssel nur hier gelöscht",
      none: "es gab keine Schlüssel",
    },
    same: ["NICHT die des Servers", "dieselbe wie die des Servers"],
    coach: [
      "Auf beiden Geräten „{connect}“ drücken",
      "Auf einem „{call}“, wählen, noch einmal „{call}“",
      "Auf dem anderen mit „{call}“ annehmen",
      "Die fünf Zahlen vergleichen, dann sprechen",
      "„{hangUp}“: die Schlüssel sind gelöscht",
    ],
    switchTo: "anderes Gerät",
    gone: "Der Simulator ist beendet. Neu starten mit make run.",
  },
  zh: {
    title: "Feldfon",
    about: "加密野战电话。每部话机和服务器都是本机上独立的进程。",
    language: "本页语言",
    server: "服务器",
    serverState: { running: "运行中", down: "已停止" },
    port: "端口",
    epoch: "纪元",
    rows: "在目录中",
    root: "树根",
    vault: "保险库：",
    protection: { memfd_secret: "隔离保护", locked: "内存已锁定", degraded: "仅基本保护" },
    kill: "强行终止 (kill -9)",
    start: "重新启动",
    add: "添加话机",
    remove: "移除",
    wireOf: "{name} 的线路",
    displayOf: "{name} 显示屏的语言：这是设置，更改时会重新启动",
    doTo: "可以对 {name} 做的事",
    wires: { open: "线路正常", stalled: "信号盲区", cut: "线路切断" },
    wireHints: { open: "一切通过", stalled: "不断开，也不通过", cut: "拔掉电缆" },
    ladder: "线路上传的内容",
    ladderHint: "只显示每条消息的类型和大小，从不显示内容。",
    all: "全部话机",
    show: "显示",
    pause: "暂停",
    goOn: "继续",
    empty: "还没有消息。请先连接一部话机。",
    bytes: "字节",
    arrived: "已到达",
    lost: "尚未到达",
    step: "步骤",
    notes: {
      connected: "已连接，电话簿已验证",
      resumed: "线路恢复，无需 RSA",
      disconnected: "线路断开：{code}",
      left: "已注销",
      rings: "对方确实在响铃",
      "in-call": "密钥已商定，两个显示屏都显示 {numbers}",
      voice: "语音：发送 {sent} 包，收到 {received} 包，丢失 {lost} 包，每包 {bytes} 字节，已密封",
      ended: "通话结束，{erased}",
      updated: "已更新；重新计算树根：{same}",
      evidence: "服务器说法不一；已保存证据",
      started: "已启动",
      stopped: "已停止",
      killed: "被强行终止",
      cut: "线路切断",
      stalled: "信号盲区：什么也不通过",
      restored: "线路恢复正常",
    },
    erased: { both: "双方密钥均已删除", here: "仅本机密钥已删除", none: "没有密钥" },
    same: ["与服务器不同", "与服务器一致"],
    coach: [
      "在两部话机上按“{connect}”",
      "在一部上按“{call}”，选择后再按“{call}”",
      "在另一部上按“{call}”接听",
      "核对五个数字，然后说话",
      "按“{hangUp}”：密钥已删除",
    ],
    switchTo: "另一部话机",
    gone: "模拟器已结束。用 make run 重新启动。",
  },
};

/** Puts facts where braces name them. */
export function filled(text: string, facts: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(facts[name] ?? whole));
}
