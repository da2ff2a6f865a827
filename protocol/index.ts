export { DeviceError, ProtocolError, VaultError } from "./errors.ts";
