/**
 * Characters that look alike on a small display: our own table, made after UTS #39 §4 ("Confusable Detection") and its
 * confusables.txt, for the scripts a European handset is typed in. NFKD has gone before it, so full-width, mathematical,
 * circled and superscript forms, ligatures and composed letters are plain letters and marks already.
 *
 * Limits: Latin, Greek, Cyrillic, Armenian, small capitals, digits, hyphens and quotes only. Not in it: look-alikes within
 * Chinese, Japanese, Korean, Arabic, Hebrew and Indic scripts, Cherokee and Lisu, accents that differ by a dot
 * (they are other letters: Muller and Müller may both be there), and what only some font confuses (5 and S).
 */

/** First character of each pair looks like the rest of it; case matters, since it changes looks. */
const PAIRS = `
  АA ВB ЕE З3 КK МM НH ОO РP СC ТT УY ХX ЅS ІI ЈJ ԚQ ԜW ҮY ЬB ӀI ѴV ҺH ԌG
  аa вb еe з3 кk мm нh оo рp сc тt уy хx ѕs іi јj ԛq ԝw үy ьb ӏl ѵv һh ԍg ԁd гr пn ъb әə єe
  ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ϹC ϿC ͿJ
  αa βß γy εe ηn ιi κk νv οo ρp σo ςc τt υu χx ωw ϲc ϳj
  ՏS ՕO ԼL ՍU օo ոn սu հh ցg յj զq ѡw
  ıi ȷj ɑa ɡg ɩi ƽs ɪi ʏy ɢg ʜh ʟl ɴn ʀr ʙb ᴀa ᴄc ᴅd ᴇe ᴊj ᴋk ᴍm ᴏo ᴘp ᴛt ᴜu ᴠv ᴡw ᴢz ꜱs ǀI ǃ!
  ‐- ‑- ‒- –- —- ―- −- ‘' ’' ‚, ‛' ʹ' ʻ' ʼ' ʽ' ˈ' \`' ´' ′' “" ”" „" ″" ∣| ⁄/ ∕/ ∶: ꞉: ․. ·. •. ∙. ⋅.
`;
export const LOOK_ALIKES: ReadonlyMap<string, string> = new Map(
  PAIRS.trim()
    .split(/\s+/)
    .map((pair) => [...pair])
    .map(([character, ...looks]) => [character!, looks.join("")]),
);

/** After case folding: I, l and 1; O and 0; m is rn and w is vv (confusables.txt says the same of m). */
export const LOOK_ALIKES_FOLDED: ReadonlyMap<string, string> = new Map([
  ["i", "l"],
  ["1", "l"],
  ["|", "l"],
  ["!", "l"],
  ["0", "o"],
  ["m", "rn"],
  ["w", "vv"],
]);
