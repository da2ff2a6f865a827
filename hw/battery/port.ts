export interface Charge {
  /** 0..100 */
  percent: number;
  charging: boolean;
}

/** The fuel gauge. */
export interface Battery {
  /** What the gauge said last; `undefined` where there is none: mains, or the gauge does not answer. */
  readonly charge: Charge | undefined;
  /** When the charge is another than before. */
  onChange(listener: (charge: Charge | undefined) => void): void;
  close(): void;
}
