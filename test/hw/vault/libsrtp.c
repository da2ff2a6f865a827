/*
 * Cisco's libsrtp as a second opinion on our voice packets: seals or opens packets, one line of hex each.
 *
 *     libsrtp seal|open KEY SSRC ROC    KEY: master key 32 | master salt 12, in hex; ROC before the first packet
 *
 * A packet that is refused answers with "refused" and libsrtp's number for the reason.
 */
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 44, PACKET_BYTES = 2048 };

static void need(srtp_err_status_t status, const char *what)
{
    if (status == srtp_err_status_ok) return;
    fprintf(stderr, "%s: libsrtp error %d\n", what, status);
    exit(1);
}

static int from_hex(const char *hex, unsigned char *bytes, int bytes_max)
{
    int length = 0;
    while (length < bytes_max && sscanf(hex + 2 * length, "%2hhx", bytes + length) == 1) length++;
    return length;
}

int main(int argc, char **argv)
{
    /* libsrtp reads headers as 32-bit words */
    static union { uint32_t words[PACKET_BYTES / 4]; unsigned char bytes[PACKET_BYTES]; } packet;
    static char line[2 * PACKET_BYTES + 2];
    unsigned char key[KEY_BYTES];
    if (argc != 5 || from_hex(argv[2], key, KEY_BYTES) != KEY_BYTES) return 2;
    const int sealing = strcmp(argv[1], "seal") == 0;

    need(srtp_init(), "init");
    srtp_policy_t policy;
    memset(&policy, 0, sizeof policy);
    srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
    srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtcp);
    policy.ssrc.type = ssrc_specific;
    policy.ssrc.value = strtoul(argv[3], NULL, 10);
    policy.key = key;
    policy.window_size = 128;
    srtp_t session;
    need(srtp_create(&session, &policy), "create");
    need(srtp_set_stream_roc(session, policy.ssrc.value, strtoul(argv[4], NULL, 10)), "set_stream_roc");

    while (fgets(line, sizeof line, stdin)) {
        int length = from_hex(line, packet.bytes, PACKET_BYTES - SRTP_MAX_TRAILER_LEN);
        srtp_err_status_t status =
            sealing ? srtp_protect(session, packet.bytes, &length) : srtp_unprotect(session, packet.bytes, &length);
        if (status != srtp_err_status_ok) {
            printf("refused %d\n", status);
            continue;
        }
        for (int at = 0; at < length; at++) printf("%02x", packet.bytes[at]);
        printf("\n");
    }
    need(srtp_dealloc(session), "dealloc");
    need(srtp_shutdown(), "shutdown");
    return 0;
}
