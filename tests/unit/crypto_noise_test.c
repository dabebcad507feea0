/* Noise: both ends of the handshake, every byte tampered with, weak points, and the ciphers' limits.
 * Run by ctest. Serves libp2p/specs noise/README.md and noiseprotocol.org rev. 34. */
#include "crypto_suite.h"

#include "crypto/noise_cipher.h"

static struct pg_identity *identities[2];
static struct pg_noise_static statics[2];

/* Two handshakes, one of each side, and the messages between them. */
struct pair {
    struct pg_noise_handshake hs[2]; /* 0: initiator */
    uint8_t message[3][512];
    size_t len[3];
};

static void pair_start(struct pair *p)
{
    for (int i = 0; i < 2; i++)
        if (!pg_noise_handshake_init(&p->hs[i], i == 0, &statics[i]))
            abort();
}

static void pair_end(struct pair *p)
{
    pg_noise_handshake_free(&p->hs[0]);
    pg_noise_handshake_free(&p->hs[1]);
}

static struct pg_bytes proof_of(int side)
{
    return pg_bytes(statics[side].payload, statics[side].payload_len);
}

static void write_message(struct pair *p, int i)
{
    p->len[i] = pg_noise_write(&p->hs[i % 2], i ? proof_of(i % 2) : PG_NONE, p->message[i], sizeof p->message[i]);
    CU_ASSERT_TRUE(p->len[i] > 0);
}

static enum pg_err read_bytes(struct pair *p, int i, struct pg_bytes message)
{
    uint8_t payload[512];
    size_t len;
    uint8_t *copy = exact_copy(message.at, message.len);
    enum pg_err err = pg_noise_read(&p->hs[1 - i % 2], pg_bytes(copy, message.len), payload, sizeof payload, &len);
    if (err == PG_OK && i > 0)
        CU_ASSERT_TRUE(pg_bytes_equal(pg_bytes(payload, len), proof_of(i % 2)));
    free(copy);
    return err;
}

static enum pg_err read_message(struct pair *p, int i)
{
    return read_bytes(p, i, pg_bytes(p->message[i], p->len[i]));
}

/* Runs the handshake up to, and without reading, message i. */
static void run_until(struct pair *p, int i)
{
    pair_start(p);
    for (int m = 0; m <= i; m++) {
        write_message(p, m);
        if (m < i)
            CU_ASSERT_EQUAL(read_message(p, m), PG_OK);
    }
}

static bool dead(struct pg_noise_handshake *hs)
{
    uint8_t out[512];
    size_t len;
    struct pg_noise_cipher *send, *receive;
    return pg_noise_write(hs, PG_NONE, out, sizeof out) == 0 &&
           pg_noise_read(hs, pg_bytes(out, 32), out, sizeof out, &len) == PG_ERR_NOISE_BAD_MESSAGE &&
           !pg_noise_split(hs, &send, &receive) && !hs->state.at && !hs->ephemeral.at;
}

static void both_ends_agree_and_know_each_other(void)
{
    struct pair p;
    run_until(&p, 2);
    CU_ASSERT_EQUAL(read_message(&p, 2), PG_OK);
    CU_ASSERT_TRUE(pg_noise_done(&p.hs[0]) && pg_noise_done(&p.hs[1]));
    CU_ASSERT_EQUAL(memcmp(pg_noise_hash(&p.hs[0]), pg_noise_hash(&p.hs[1]), 32), 0);
    CU_ASSERT_EQUAL(memcmp(pg_noise_remote_static(&p.hs[0]), statics[1].public_key, 32), 0);
    CU_ASSERT_EQUAL(memcmp(pg_noise_remote_static(&p.hs[1]), statics[0].public_key, 32), 0);
    CU_ASSERT_EQUAL(p.len[0], 32);
    CU_ASSERT_EQUAL(p.len[1], 96 + 104);
    CU_ASSERT_EQUAL(p.len[2], 64 + 104);
    pair_end(&p);
    pair_end(&p);
}

static void two_handshakes_share_no_bytes(void)
{
    struct pair a, b;
    run_until(&a, 1);
    run_until(&b, 1);
    CU_ASSERT_NOT_EQUAL(memcmp(a.message[0], b.message[0], 32), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(a.message[1], b.message[1], 32), 0);
    pair_end(&a);
    pair_end(&b);
}

/* The first message is not authenticated by itself: a change there shows when the second is read. */
static void every_changed_byte_of_every_message_is_found(void)
{
    for (int m = 0; m < 3; m++) {
        for (size_t i = 0; i < (size_t[]){32, 200, 168}[m]; i++) {
            struct pair p;
            run_until(&p, m);
            p.message[m][i] ^= 0x40;
            if (m > 0) {
                CU_ASSERT_EQUAL(read_message(&p, m), PG_ERR_NOISE_BAD_MESSAGE);
                CU_ASSERT_TRUE(dead(&p.hs[1 - m % 2]));
            } else if (read_message(&p, 0) == PG_OK) {
                p.len[1] = pg_noise_write(&p.hs[1], proof_of(1), p.message[1], sizeof p.message[1]);
                if (p.len[1])
                    CU_ASSERT_EQUAL(read_message(&p, 1), PG_ERR_NOISE_BAD_MESSAGE);
            }
            pair_end(&p);
        }
    }
}

static void every_truncation_of_every_message_is_refused(void)
{
    for (int m = 0; m < 3; m++) {
        size_t whole = (size_t[]){32, 200, 168}[m];
        for (size_t len = 0; len < whole; len++) {
            struct pair p;
            run_until(&p, m);
            CU_ASSERT_EQUAL(read_bytes(&p, m, pg_bytes(p.message[m], len)), PG_ERR_NOISE_BAD_MESSAGE);
            CU_ASSERT_TRUE(dead(&p.hs[1 - m % 2]));
            pair_end(&p);
        }
    }
}

static void longer_replayed_and_reordered_messages_are_refused(void)
{
    struct pair p;
    run_until(&p, 1);
    p.message[1][p.len[1]++] = 0;
    CU_ASSERT_EQUAL(read_message(&p, 1), PG_ERR_NOISE_BAD_MESSAGE);
    pair_end(&p);

    run_until(&p, 1); /* the first one again, in place of the third */
    CU_ASSERT_EQUAL(read_bytes(&p, 0, pg_bytes(p.message[0], 32)), PG_ERR_NOISE_BAD_MESSAGE);
    pair_end(&p);

    run_until(&p, 2); /* the third one sent back to its writer, who is to write no more */
    CU_ASSERT_EQUAL(read_bytes(&p, 1, pg_bytes(p.message[2], p.len[2])), PG_ERR_NOISE_BAD_MESSAGE);
    pair_end(&p);

    struct pair other; /* the second one of another connection */
    run_until(&p, 1);
    run_until(&other, 1);
    CU_ASSERT_EQUAL(read_bytes(&p, 1, pg_bytes(other.message[1], other.len[1])), PG_ERR_NOISE_BAD_MESSAGE);
    pair_end(&p);
    pair_end(&other);
}

static void writing_out_of_turn_or_into_too_little_room_writes_nothing(void)
{
    struct pair p;
    uint8_t out[512], payload[8];
    size_t len;
    pair_start(&p);
    CU_ASSERT_EQUAL(pg_noise_write(&p.hs[1], PG_NONE, out, sizeof out), 0);
    CU_ASSERT_EQUAL(pg_noise_write(&p.hs[0], PG_NONE, out, 31), 0);
    CU_ASSERT_EQUAL(pg_noise_write(&p.hs[0], PG_LIT("abc"), out, 34), 0);
    write_message(&p, 0);
    CU_ASSERT_EQUAL(pg_noise_write(&p.hs[0], PG_NONE, out, sizeof out), 0);
    CU_ASSERT_EQUAL(read_message(&p, 0), PG_OK);
    CU_ASSERT_EQUAL(pg_noise_write(&p.hs[1], proof_of(1), out, 199), 0);
    write_message(&p, 1);
    /* a payload that does not fit its reader's room */
    CU_ASSERT_EQUAL(pg_noise_read(&p.hs[0], pg_bytes(p.message[1], p.len[1]), payload, sizeof payload, &len),
                    PG_ERR_NOISE_BAD_MESSAGE);
    CU_ASSERT_TRUE(dead(&p.hs[0]));
    pair_end(&p);
}

/* The points whose multiples are few (RFC 7748 section 6.1 and the list in libp2p/specs): a shared secret of zeros. */
static const char *const weak_points[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

static void points_of_low_order_end_the_handshake_of_either_side(void)
{
    for (size_t i = 0; i < sizeof weak_points / sizeof *weak_points; i++) {
        struct pair p;
        uint8_t out[512];
        size_t len;
        uint8_t *point = unhex(weak_points[i], &len);
        pair_start(&p); /* as the initiator's key: seen when the responder makes the shared secret */
        CU_ASSERT_EQUAL(read_bytes(&p, 0, pg_bytes(point, 32)), PG_OK);
        CU_ASSERT_EQUAL(pg_noise_write(&p.hs[1], proof_of(1), out, sizeof out), 0);
        CU_ASSERT_TRUE(dead(&p.hs[1]));
        pair_end(&p);
        run_until(&p, 1); /* as the responder's */
        memcpy(p.message[1], point, 32);
        CU_ASSERT_EQUAL(read_message(&p, 1), PG_ERR_NOISE_BAD_MESSAGE);
        CU_ASSERT_TRUE(dead(&p.hs[0]));
        pair_end(&p);
        /* as a static key, properly encrypted by a peer that means harm */
        struct pg_noise_static harmful = statics[0];
        memcpy(harmful.public_key, point, 32);
        pair_start(&p);
        p.hs[0].own = &harmful;
        write_message(&p, 0);
        CU_ASSERT_EQUAL(read_message(&p, 0), PG_OK);
        write_message(&p, 1);
        CU_ASSERT_EQUAL(read_message(&p, 1), PG_OK);
        write_message(&p, 2);
        CU_ASSERT_EQUAL(read_message(&p, 2), PG_ERR_NOISE_BAD_MESSAGE);
        CU_ASSERT_TRUE(dead(&p.hs[1]));
        pair_end(&p);
        free(point);
    }
}

static enum pg_err check(struct pg_bytes key, struct pg_bytes sig, const uint8_t *static_public)
{
    struct pg_public_key proved;
    enum pg_err err = pg_noise_check_identity(&proved, key, sig, static_public);
    CU_ASSERT_EQUAL(pg_public_key_protobuf(&proved).len, err == PG_OK ? 36 : 0);
    return err;
}

static void an_identity_is_believed_only_with_its_own_signature_over_this_static_key(void)
{
    struct pg_bytes key = pg_public_key_protobuf(pg_identity_public(identities[0]));
    struct pg_bytes other = pg_public_key_protobuf(pg_identity_public(identities[1]));
    struct pg_bytes sig = pg_bytes(statics[0].payload + 2 + 36 + 2, 64);
    const uint8_t *own = statics[0].public_key;
    uint8_t text[56], forged[PG_SIGNATURE_MAX];
    CU_ASSERT_EQUAL(check(key, sig, own), PG_OK);
    CU_ASSERT_EQUAL(check(other, sig, own), PG_ERR_NOISE_BAD_IDENTITY);
    CU_ASSERT_EQUAL(check(key, sig, statics[1].public_key), PG_ERR_NOISE_BAD_IDENTITY);
    CU_ASSERT_EQUAL(check(PG_NONE, sig, own), PG_ERR_NOISE_BAD_IDENTITY);
    CU_ASSERT_EQUAL(check(key, PG_NONE, own), PG_ERR_NOISE_BAD_IDENTITY);
    CU_ASSERT_EQUAL(check(key, pg_bytes_head(sig, 63), own), PG_ERR_NOISE_BAD_IDENTITY);
    CU_ASSERT_EQUAL(check(pg_bytes_head(key, 35), sig, own), PG_ERR_NOISE_BAD_IDENTITY);
    CU_ASSERT_EQUAL(check(pg_bytes("\x08\x00\x12\x01\x01", 5), sig, own), PG_ERR_NOISE_BAD_IDENTITY);
    /* a signature by the right key over the static key with another prefix, or none */
    static const char *const prefixes[] = {"noise-libp2p-static-kez:", "", "libp2p-tls-handshake:"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = strlen(prefixes[i]);
        memcpy(text, prefixes[i], n);
        memcpy(text + n, own, 32);
        pg_sign(identities[0], pg_bytes(text, n + 32), forged);
        CU_ASSERT_EQUAL(check(key, pg_bytes(forged, 64), own), PG_ERR_NOISE_BAD_IDENTITY);
    }
}

/* Both ciphers of both ends. */
struct link {
    struct pg_noise_cipher *send[2], *receive[2];
};

static void link_up(struct link *l)
{
    struct pair p;
    run_until(&p, 2);
    CU_ASSERT_EQUAL(read_message(&p, 2), PG_OK);
    for (int i = 0; i < 2; i++)
        if (!pg_noise_split(&p.hs[i], &l->send[i], &l->receive[i]))
            abort();
    struct pg_noise_cipher *again_send, *again_receive;
    CU_ASSERT_FALSE(pg_noise_split(&p.hs[0], &again_send, &again_receive)); /* keys are used once */
    CU_ASSERT_PTR_NULL(again_send);
    CU_ASSERT_EQUAL(memcmp(pg_noise_remote_static(&p.hs[0]), statics[1].public_key, 32), 0);
    pair_end(&p);
}

static void link_down(struct link *l)
{
    for (int i = 0; i < 2; i++) {
        pg_noise_cipher_free(l->send[i]);
        pg_noise_cipher_free(l->receive[i]);
    }
}

static void messages_of_all_shapes_arrive_both_ways(void)
{
    static uint8_t text[PG_NOISE_PLAIN_MAX];
    static const size_t sizes[] = {
        0, 1, 11, 12, 15, 16, 17, 63, 64, 65, 1000, 4095, 4096, 4097, 4108, 8192, 16384, 65507, PG_NOISE_PLAIN_MAX};
    struct link l;
    link_up(&l);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t head = 0; head <= 12 && head <= sizes[i]; head += 4) {
            for (int from = 0; from < 2; from++) {
                size_t len = sizes[i] + PG_NOISE_TAG;
                uint8_t *out = malloc(len);
                if (!out)
                    abort();
                CU_ASSERT_TRUE(pg_noise_encrypt(l.send[from], pg_bytes(text, head), pg_bytes(text + head, sizes[i] - head), out));
                CU_ASSERT_TRUE(pg_noise_decrypt(l.receive[1 - from], out, len));
                CU_ASSERT_EQUAL(memcmp(out, text, sizes[i]), 0);
                free(out);
            }
        }
    }
    link_down(&l);
}

static void a_message_is_encrypted_to_the_same_bytes_in_place_and_however_it_is_cut(void)
{
    enum { LEN = 9000 };
    static const size_t cuts[] = {0, 1, 12, 63, 64, 4095, 4096, 4097, 8192, LEN - 1, LEN};
    static uint8_t text[LEN], inside[LEN + PG_NOISE_TAG], apart[LEN + PG_NOISE_TAG];
    struct link l;
    link_up(&l);
    for (size_t i = 0; i < LEN; i++)
        text[i] = (uint8_t)(i * 11);
    memcpy(inside, text, LEN);
    CU_ASSERT_TRUE(pg_noise_encrypt(l.send[0], pg_bytes(inside, LEN), PG_NONE, inside));
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        pg_noise_cipher_skip_to(l.send[0], 0);
        CU_ASSERT_TRUE(pg_noise_encrypt(l.send[0], pg_bytes(text, cuts[i]), pg_bytes(text + cuts[i], LEN - cuts[i]), apart));
        CU_ASSERT_EQUAL(memcmp(apart, inside, sizeof apart), 0);
    }
    link_down(&l);
}

static void a_forged_replayed_reordered_or_short_message_kills_the_cipher_and_shows_nothing(void)
{
    static const uint8_t zeros[64];
    for (int kind = 0; kind < 70; kind++) {
        struct link l;
        uint8_t first[64 + PG_NOISE_TAG], second[64 + PG_NOISE_TAG], text[64];
        memset(text, 'x', sizeof text);
        link_up(&l);
        CU_ASSERT_TRUE(pg_noise_encrypt(l.send[0], pg_bytes(text, 64), PG_NONE, first));
        CU_ASSERT_TRUE(pg_noise_encrypt(l.send[0], pg_bytes(text, 64), PG_NONE, second));
        uint8_t again[sizeof first];
        memcpy(again, first, sizeof first);
        if (kind == 0) { /* in the wrong order */
            CU_ASSERT_FALSE(pg_noise_decrypt(l.receive[1], second, sizeof second));
        } else if (kind == 1) { /* twice */
            CU_ASSERT_TRUE(pg_noise_decrypt(l.receive[1], first, sizeof first));
            CU_ASSERT_FALSE(pg_noise_decrypt(l.receive[1], again, sizeof again));
        } else if (kind == 2) { /* sent back */
            CU_ASSERT_FALSE(pg_noise_decrypt(l.receive[0], first, sizeof first));
            CU_ASSERT_FALSE(pg_noise_decrypt(l.receive[0], again, sizeof again));
            link_down(&l);
            continue;
        } else if (kind < 20) { /* cut, down to less than a tag */
            CU_ASSERT_FALSE(pg_noise_decrypt(l.receive[1], first, (size_t)(kind - 3)));
        } else { /* changed */
            first[(kind - 20) * 80 / 50] ^= 1;
            CU_ASSERT_FALSE(pg_noise_decrypt(l.receive[1], first, sizeof first));
            CU_ASSERT_EQUAL(memcmp(first, zeros, sizeof zeros), 0);
        }
        memcpy(first, again, sizeof first);
        CU_ASSERT_FALSE(pg_noise_decrypt(l.receive[1], first, sizeof first));
        link_down(&l);
    }
}

static void too_long_a_message_is_not_encrypted(void)
{
    static uint8_t text[PG_NOISE_PLAIN_MAX + 1], out[PG_NOISE_MESSAGE_MAX + 1];
    struct link l;
    link_up(&l);
    CU_ASSERT_FALSE(pg_noise_encrypt(l.send[0], pg_bytes(text, sizeof text), PG_NONE, out));
    CU_ASSERT_FALSE(pg_noise_encrypt(l.send[0], pg_bytes(text, 1), pg_bytes(text, PG_NOISE_PLAIN_MAX), out));
    CU_ASSERT_FALSE(pg_noise_encrypt(l.send[0], pg_bytes(text, 1), pg_bytes(text, SIZE_MAX), out));
    CU_ASSERT_TRUE(pg_noise_encrypt(l.send[0], pg_bytes(text, PG_NOISE_PLAIN_MAX), PG_NONE, out));
    CU_ASSERT_FALSE(pg_noise_decrypt(l.receive[1], out, sizeof out));
    link_down(&l);
}

static void the_last_number_is_never_used(void)
{
    struct link l;
    uint8_t out[1 + PG_NOISE_TAG];
    link_up(&l);
    pg_noise_cipher_skip_to(l.send[0], UINT64_MAX - 1);
    pg_noise_cipher_skip_to(l.receive[1], UINT64_MAX - 1);
    CU_ASSERT_TRUE(pg_noise_encrypt(l.send[0], PG_LIT("a"), PG_NONE, out));
    CU_ASSERT_TRUE(pg_noise_decrypt(l.receive[1], out, sizeof out));
    CU_ASSERT_FALSE(pg_noise_encrypt(l.send[0], PG_LIT("a"), PG_NONE, out));
    CU_ASSERT_FALSE(pg_noise_decrypt(l.receive[1], out, sizeof out));
    link_down(&l);
}

static void when_secret_memory_is_full_everything_says_so(void)
{
    static struct pg_secret all[PG_SECRETS_MOST];
    struct pair p;
    struct pg_noise_static none;
    struct pg_noise_handshake hs;
    struct pg_noise_cipher *send, *receive;
    uint32_t n = 0;
    run_until(&p, 2);
    CU_ASSERT_EQUAL(read_message(&p, 2), PG_OK);
    while (n < PG_SECRETS_MOST && pg_secret_new(&all[n]))
        n++;
    CU_ASSERT_TRUE(n < PG_SECRETS_MOST);
    CU_ASSERT_PTR_NULL(pg_identity_new());
    CU_ASSERT_FALSE(pg_noise_static_new(&none, identities[0]));
    CU_ASSERT_FALSE(pg_noise_handshake_init(&hs, true, &statics[0]));
    CU_ASSERT_FALSE(pg_noise_split(&p.hs[0], &send, &receive));
    CU_ASSERT_TRUE(send == NULL && receive == NULL);
    pg_secret_free(&all[--n]); /* one of the two that a handshake needs */
    CU_ASSERT_FALSE(pg_noise_handshake_init(&hs, true, &statics[0]));
    while (n)
        pg_secret_free(&all[--n]);
    CU_ASSERT_TRUE(pg_noise_split(&p.hs[0], &send, &receive));
    pg_noise_cipher_free(send);
    pg_noise_cipher_free(receive);
    pair_end(&p);
}

static void no_key_is_kept(void)
{
    CU_ASSERT_EQUAL(pg_secrets_held(), 4); /* two identities, two static keys */
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"both ends agree and know each other", both_ends_agree_and_know_each_other},
        {"two handshakes share no bytes", two_handshakes_share_no_bytes},
        {"every changed byte of every message is found", every_changed_byte_of_every_message_is_found},
        {"every truncation of every message is refused", every_truncation_of_every_message_is_refused},
        {"longer, replayed and reordered messages are refused", longer_replayed_and_reordered_messages_are_refused},
        {"writing out of turn or into too little room writes nothing",
         writing_out_of_turn_or_into_too_little_room_writes_nothing},
        {"points of low order end the handshake of either side", points_of_low_order_end_the_handshake_of_either_side},
        {"an identity is believed only with its own signature over this static key",
         an_identity_is_believed_only_with_its_own_signature_over_this_static_key},
        {"messages of all shapes arrive both ways", messages_of_all_shapes_arrive_both_ways},
        {"a message is encrypted to the same bytes in place and however it is cut",
         a_message_is_encrypted_to_the_same_bytes_in_place_and_however_it_is_cut},
        {"a forged, replayed, reordered or short message kills the cipher and shows nothing",
         a_forged_replayed_reordered_or_short_message_kills_the_cipher_and_shows_nothing},
        {"too long a message is not encrypted", too_long_a_message_is_not_encrypted},
        {"the last number is never used", the_last_number_is_never_used},
        {"when secret memory is full everything says so", when_secret_memory_is_full_everything_says_so},
        {"no key is kept", no_key_is_kept},
    };
    for (int i = 0; i < 2; i++) {
        identities[i] = pg_identity_new();
        if (!identities[i] || !pg_noise_static_new(&statics[i], identities[i]))
            return 1;
    }
    int status = RUN_SUITE("noise", sentences);
    for (int i = 0; i < 2; i++) {
        pg_noise_static_free(&statics[i]);
        pg_identity_free(identities[i]);
    }
    return status;
}
