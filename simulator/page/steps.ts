/** What each step of connect has proved, in the words of the seed (000, connect 1 to 8). Demo and page tell the same. */
import type { ConnectStep } from "@feldfon/protocol/phone/orders";

export const PROVED: Readonly<Record<"en" | "de" | "zh", Readonly<Record<ConnectStep, string>>>> = {
  en: {
    "1": "public keys exchanged, the client's first; the server's is the pinned one",
    "1.1": "the handset proved its private key without showing it",
    "2": "the server sent root, keys and leaves",
    "3": "the handset recomputed both roots: equal",
    "4": "48-byte secret came, RSA-4096 to this handset alone",
    "5": "secret stored in the vault, everything is under it now",
    "6": "phonebook opened, each row fits its leaf",
    "7": "the others were told",
    "8": "the loop runs",
  },
  de: {
    "1": "öffentliche Schlüssel getauscht, der des Clients zuerst; der des Servers ist der eingestellte",
    "1.1": "das Gerät bewies seinen privaten Schlüssel, ohne ihn zu zeigen",
    "2": "der Server schickte Wurzel, Schlüssel und Blätter",
    "3": "das Gerät rechnete beide Wurzeln nach: gleich",
    "4": "Geheimnis von 48 Bytes kam, mit RSA-4096 nur für dieses Gerät",
    "5": "Geheimnis liegt im Tresor, von hier an schützt es alles",
    "6": "Telefonbuch geöffnet, jede Zeile passt zu ihrem Blatt",
    "7": "die anderen wissen es",
    "8": "die Schleife läuft",
  },
  zh: {
    "1": "交换了公钥，客户端先发；服务器的公钥正是预设的那个",
    "1.1": "话机证明了自己的私钥，而没有出示它",
    "2": "服务器发来树根、公钥和叶子",
    "3": "话机重新计算了两个树根：一致",
    "4": "收到 48 字节秘密，用 RSA-4096 只加密给这部话机",
    "5": "秘密存入保险库，此后一切都由它保护",
    "6": "打开电话簿，每一行都符合它的叶子",
    "7": "已通知其他话机",
    "8": "循环开始运行",
  },
};
