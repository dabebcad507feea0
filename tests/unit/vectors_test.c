/* Answers of go-, rust- and js-libp2p to the same inputs, against ours: tests/vectors.json, op by op.
 * Run by ctest in the source root. Where the libraries differ, `choices` says whom we follow and why; at the end stands
 * what was covered and what was left out. */
#include "vectors.h"

#include "core/kad_key.h"
#include "core/peer_record.h"
#include "crypto/multiaddr.h"
#include "crypto/noise_cipher.h"
#include "identify.pb.gen.h"
#include "kad.pb.gen.h"
#include "wire/mss.h"
#include "yamux.wire.gen.h"

static enum outcome same_private(const cJSON *vector)
{
    struct pg_identity *identity;
    uint8_t out[PG_PRIVATE_PROTO_MAX];
    enum pg_err err = identity_of(input(vector, "priv"), &identity);
    if (err == PG_ERR_KEY_UNSUPPORTED)
        return LATER;
    if (err != PG_OK)
        return same_text(vector, "error");
    enum outcome outcome = same_bytes(vector, pg_bytes(out, pg_identity_protobuf(identity, out)));
    pg_identity_free(identity);
    return outcome;
}

/* Of keys that cannot be ours the public half is theirs to make: it must be read, and be canonical. */
static enum outcome public_is_canonical(const cJSON *vector)
{
    struct pg_public_key key;
    size_t len;
    uint8_t *bytes = unhex(expected(vector), &len);
    enum pg_err err = pg_public_key_read(&key, pg_bytes(bytes, len));
    free(bytes);
    return err == PG_OK ? same_bytes(vector, pg_public_key_protobuf(&key)) : same_text(vector, "error");
}

static enum outcome public_of_private(const cJSON *vector)
{
    struct pg_identity *identity;
    if (identity_of(input(vector, "priv"), &identity) == PG_ERR_KEY_UNSUPPORTED)
        return public_is_canonical(vector);
    enum outcome outcome = same_bytes(vector, pg_public_key_protobuf(pg_identity_public(identity)));
    pg_identity_free(identity);
    return outcome;
}

static enum outcome public_read(const cJSON *vector)
{
    struct pg_public_key key;
    size_t len;
    uint8_t *bytes = unhex(input(vector, "pub"), &len);
    enum pg_err err = pg_public_key_read(&key, pg_bytes(bytes, len));
    free(bytes);
    return err == PG_OK ? same_bytes(vector, pg_public_key_protobuf(&key)) : same_text(vector, "error");
}

/* The public key that the libraries give for the private key of another vector. */
static bool public_of(const cJSON *vector, struct pg_public_key *key)
{
    const cJSON *other;
    bool found = false;
    cJSON_ArrayForEach(other, cJSON_GetObjectItemCaseSensitive(vectors, "cases"))
    {
        if (strcmp(text_of(other, "op"), "pub_from_priv") != 0 || strcmp(input(other, "priv"), input(vector, "priv")) != 0)
            continue;
        size_t len;
        uint8_t *bytes = unhex(expected(other), &len);
        found = pg_public_key_read(key, pg_bytes(bytes, len)) == PG_OK;
        free(bytes);
    }
    return found;
}

/* The signature that we make; of keys that cannot be ours, the signature that all others make is good, and with any byte
 * changed it is not. */
static enum outcome signs(const cJSON *vector)
{
    struct pg_identity *identity;
    struct pg_public_key key;
    uint8_t signature[PG_SIGNATURE_MAX];
    size_t len, sig_len;
    enum outcome outcome = WRONG;
    uint8_t *message = unhex(input(vector, "msg"), &len);
    if (identity_of(input(vector, "priv"), &identity) == PG_OK) {
        sig_len = pg_sign(identity, pg_bytes(message, len), signature);
        CU_ASSERT_TRUE(pg_verify(pg_identity_public(identity), pg_bytes(message, len), pg_bytes(signature, sig_len)));
        pg_identity_free(identity);
        outcome = same_bytes(vector, pg_bytes(signature, sig_len));
    } else if (public_of(vector, &key)) {
        uint8_t *theirs = unhex(expected(vector), &sig_len);
        bool good = pg_verify(&key, pg_bytes(message, len), pg_bytes(theirs, sig_len));
        CU_ASSERT_FALSE(pg_verify(&key, pg_bytes(message, len), pg_bytes(theirs, sig_len - 1)));
        theirs[sig_len / 2] ^= 1;
        CU_ASSERT_FALSE(pg_verify(&key, pg_bytes(message, len), pg_bytes(theirs, sig_len)));
        free(theirs);
        outcome = good ? GOOD : same_text(vector, "not a good signature");
    }
    free(message);
    return outcome;
}

static enum outcome verifies(const cJSON *vector)
{
    struct pg_identity *identity;
    size_t len, sig_len;
    if (identity_of(input(vector, "priv"), &identity) != PG_OK)
        return LATER;
    uint8_t *message = unhex(input(vector, "msg"), &len), *signature = unhex(input(vector, "sig"), &sig_len);
    bool good = pg_verify(pg_identity_public(identity), pg_bytes(message, len), pg_bytes(signature, sig_len));
    free(message);
    free(signature);
    pg_identity_free(identity);
    return same_text(vector, good ? "good" : "bad");
}

/* The id of the same key, from the public key that the libraries give. */
static struct pg_peer_id id_of(const cJSON *vector)
{
    struct pg_peer_id id = {0};
    struct pg_public_key key;
    if (public_of(vector, &key))
        pg_peer_id_from_key(&id, &key);
    return id;
}

static enum outcome id_bytes(const cJSON *vector)
{
    struct pg_peer_id id = id_of(vector);
    return same_bytes(vector, pg_bytes(id.at, id.len));
}

static enum outcome id_base58(const cJSON *vector)
{
    char text[PG_PEER_ID_TEXT];
    struct pg_peer_id id = id_of(vector), back;
    pg_peer_id_text(&id, text);
    CU_ASSERT_TRUE(pg_peer_id_parse(&back, pg_text(text)) == PG_OK && pg_peer_id_equal(&id, &back));
    return same_text(vector, text);
}

static enum outcome id_cid(const cJSON *vector)
{
    char text[PG_PEER_ID_CID];
    struct pg_peer_id id = id_of(vector), read;
    CU_ASSERT_EQUAL(pg_peer_id_cid(&id, text), strlen(text));
    CU_ASSERT_TRUE(pg_peer_id_parse(&read, pg_text(text)) == PG_OK && pg_peer_id_equal(&id, &read));
    return same_text(vector, text);
}

static enum outcome id_parse(const cJSON *vector)
{
    struct pg_peer_id id;
    if (pg_peer_id_parse(&id, pg_text(input(vector, "text"))) != PG_OK)
        return same_text(vector, "error");
    return same_bytes(vector, pg_bytes(id.at, id.len));
}

static enum outcome addr_bytes(const cJSON *vector)
{
    struct pg_multiaddr addr, back;
    char text[PG_MULTIADDR_TEXT];
    if (pg_multiaddr_parse(&addr, pg_text(input(vector, "text"))) != PG_OK)
        return same_text(vector, "error");
    size_t len = pg_multiaddr_text(&addr, text, sizeof text);
    CU_ASSERT_TRUE(pg_multiaddr_parse(&back, pg_bytes(text, len)) == PG_OK && pg_multiaddr_equal(&addr, &back));
    return same_bytes(vector, pg_bytes(addr.at, addr.len));
}

static enum outcome addr_text(const cJSON *vector)
{
    struct pg_multiaddr addr;
    char text[PG_MULTIADDR_TEXT];
    size_t len;
    uint8_t *bytes = unhex(input(vector, "hex"), &len);
    enum pg_err err = pg_multiaddr_read(&addr, pg_bytes(bytes, len));
    free(bytes);
    if (err != PG_OK)
        return same_text(vector, "error");
    pg_multiaddr_text(&addr, text, sizeof text);
    return same_text(vector, text);
}

static enum outcome multistream_line(const cJSON *vector)
{
    uint8_t out[PG_MSS_ROOM];
    struct pg_writer w = pg_writer(out, sizeof out);
    struct pg_mss reader;
    struct pg_bytes in, line;
    pg_mss_put(&w, pg_text(input(vector, "text")));
    in = pg_written(&w);
    pg_mss_init(&reader);
    CU_ASSERT_TRUE(pg_mss_feed(&reader, &in, &line) == PG_MSS_LINE && pg_bytes_equal(line, pg_text(input(vector, "text"))));
    return same_bytes(vector, pg_written(&w));
}

static enum outcome yamux_header(const cJSON *vector)
{
    struct pg_yamux_header h = {
        .type = (uint8_t)number(vector, "type"),
        .flags = (uint16_t)number(vector, "flags"),
        .stream = (uint32_t)number(vector, "stream"),
        .length = (uint32_t)number(vector, "length"),
    };
    struct pg_yamux_header back;
    uint8_t out[PG_YAMUX_HEADER_SIZE];
    pg_yamux_header_write(&h, out);
    CU_ASSERT_EQUAL(pg_yamux_header_read(&back, out), PG_OK);
    CU_ASSERT_TRUE(back.type == h.type && back.flags == h.flags && back.stream == h.stream && back.length == h.length);
    return same_bytes(vector, pg_bytes(out, sizeof out));
}

/* The payload for a static key, of which the signature is the tail. */
static enum outcome noise_payload_tail(const cJSON *vector, bool signature_only)
{
    struct pg_identity *identity;
    uint8_t payload[PG_NOISE_PAYLOAD_MAX];
    size_t len;
    CU_ASSERT_EQUAL_FATAL(identity_of(input(vector, "priv"), &identity), PG_OK);
    uint8_t *key = unhex(input(vector, "static"), &len);
    size_t n = pg_noise_payload(identity, key, payload);
    free(key);
    pg_identity_free(identity);
    return same_bytes(vector, pg_bytes_skip(pg_bytes(payload, n), signature_only ? n - 64 : 0));
}

static enum outcome noise_signature(const cJSON *vector)
{
    return noise_payload_tail(vector, true);
}

static enum outcome noise_payload(const cJSON *vector)
{
    return noise_payload_tail(vector, false);
}

/* One side of the transcript with all of its keys known. */
struct side {
    struct pg_identity *identity;
    struct pg_noise_static fixed;
    struct pg_noise_handshake hs;
    struct pg_noise_cipher *send, *receive;
};

static void side_start(struct side *s, const cJSON *vector, bool initiator)
{
    size_t len;
    CU_ASSERT_EQUAL_FATAL(identity_of(input(vector, initiator ? "i_priv" : "r_priv"), &s->identity), PG_OK);
    uint8_t *key = unhex(input(vector, initiator ? "i_static" : "r_static"), &len);
    uint8_t *ephemeral = unhex(input(vector, initiator ? "i_eph" : "r_eph"), &len);
    CU_ASSERT_TRUE_FATAL(pg_noise_static_from_secret(&s->fixed, s->identity, key));
    CU_ASSERT_TRUE_FATAL(pg_noise_handshake_init(&s->hs, initiator, &s->fixed));
    pg_noise_fix_ephemeral(&s->hs, ephemeral);
    free(key);
    free(ephemeral);
}

static void side_end(struct side *s)
{
    pg_noise_cipher_free(s->send);
    pg_noise_cipher_free(s->receive);
    pg_noise_handshake_free(&s->hs);
    pg_noise_static_free(&s->fixed);
    pg_identity_free(s->identity);
}

static void add_hex(char *text, struct pg_bytes bytes)
{
    size_t at = strlen(text);
    if (at)
        text[at++] = ' ';
    to_hex(text + at, bytes);
}

/* What each side says first on the finished connection, in two slices as a frame's header and body would be. */
static void first_frame(struct side *from, struct side *to, const char *words, char *text)
{
    uint8_t frame[64];
    size_t len = strlen(words);
    CU_ASSERT_TRUE(pg_noise_encrypt(from->send, pg_bytes(words, 5), pg_bytes(words + 5, len - 5), frame));
    add_hex(text, pg_bytes(frame, len + PG_NOISE_TAG));
    CU_ASSERT_TRUE(pg_noise_decrypt(to->receive, frame, len + PG_NOISE_TAG));
    CU_ASSERT_EQUAL(memcmp(frame, words, len), 0);
}

static enum outcome noise_transcript(const cJSON *vector)
{
    static struct side sides[2];
    char text[4096] = "";
    side_start(&sides[0], vector, true);
    side_start(&sides[1], vector, false);
    for (int i = 0; i < 3; i++) {
        uint8_t message[512], payload[512];
        size_t len;
        struct side *from = &sides[i % 2], *to = &sides[1 - i % 2];
        struct pg_bytes proof = pg_bytes(from->fixed.payload, from->fixed.payload_len);
        size_t n = pg_noise_write(&from->hs, i ? proof : PG_NONE, message, sizeof message);
        add_hex(text, pg_bytes(message, n));
        CU_ASSERT_EQUAL(pg_noise_read(&to->hs, pg_bytes(message, n), payload, sizeof payload, &len), PG_OK);
    }
    CU_ASSERT_EQUAL(memcmp(pg_noise_hash(&sides[0].hs), pg_noise_hash(&sides[1].hs), PG_NOISE_KEY), 0);
    add_hex(text, pg_bytes(pg_noise_hash(&sides[0].hs), PG_NOISE_KEY));
    for (int i = 0; i < 2; i++)
        CU_ASSERT_TRUE_FATAL(pg_noise_split(&sides[i].hs, &sides[i].send, &sides[i].receive));
    first_frame(&sides[0], &sides[1], "first from initiator", text);
    first_frame(&sides[1], &sides[0], "first from responder", text);
    side_end(&sides[0]);
    side_end(&sides[1]);
    return same_text(vector, text);
}

/* Kademlia's key space. */

static void key_in(const cJSON *vector, const char *name, struct pg_kad_key *key)
{
    size_t len;
    uint8_t *raw = unhex(input(vector, name), &len);
    pg_kad_key_of(key, pg_bytes(raw, len));
    free(raw);
}

static enum outcome kad_place(const cJSON *vector)
{
    struct pg_kad_key key;
    key_in(vector, "key", &key);
    return same_bytes(vector, pg_bytes(key.at, sizeof key.at));
}

static enum outcome kad_distance(const cJSON *vector)
{
    struct pg_kad_key a, b, out;
    char bits[16];
    key_in(vector, "a", &a);
    key_in(vector, "b", &b);
    pg_kad_distance(&a, &b, &out);
    snprintf(bits, sizeof bits, "%u", pg_kad_common_bits(&a, &b));
    return strcmp(text_of(vector, "op"), "kad_cpl") == 0 ? same_text(vector, bits) : same_bytes(vector, pg_bytes(out.at, sizeof out.at));
}

static bool same_list(const cJSON *texts, const struct pg_bytes *list, uint32_t n, bool addresses)
{
    if ((uint32_t)cJSON_GetArraySize(texts) != n)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        struct pg_multiaddr addr;
        struct pg_bytes text = pg_text(cJSON_GetArrayItem(texts, (int)i)->valuestring);
        if (addresses && pg_multiaddr_parse(&addr, text) == PG_OK)
            text = pg_bytes(addr.at, addr.len);
        if (!pg_bytes_equal(text, list[i]))
            return false;
    }
    return true;
}

/* Libraries write the fields in different orders: every one must be read as the same message, which is the input's. */
static enum outcome identify_message(const cJSON *vector)
{
    const cJSON *answer, *in = cJSON_GetObjectItemCaseSensitive(vector, "input");
    enum outcome outcome = GOOD;
    cJSON_ArrayForEach(answer, cJSON_GetObjectItemCaseSensitive(vector, "differ"))
    {
        static struct pg_pb_identify m, again;
        struct pg_multiaddr observed;
        size_t len;
        uint8_t out[1024], *bytes = unhex(answer->valuestring, &len);
        bool good = pg_pb_identify_read(&m, pg_bytes(bytes, len)) == PG_OK &&
                    pg_bytes_equal(m.protocol_version, pg_text(input(vector, "protocol_version"))) &&
                    pg_bytes_equal(m.agent_version, pg_text(input(vector, "agent"))) &&
                    same_list(cJSON_GetObjectItemCaseSensitive(in, "listen"), m.listen_addrs, m.n_listen_addrs, true) &&
                    same_list(cJSON_GetObjectItemCaseSensitive(in, "protocols"), m.protocols, m.n_protocols, false) &&
                    pg_multiaddr_parse(&observed, pg_text(input(vector, "observed"))) == PG_OK &&
                    pg_bytes_equal(m.observed_addr, pg_bytes(observed.at, observed.len));
        struct pg_writer w = pg_writer(out, sizeof out);
        pg_pb_identify_write(&m, &w);
        good = good && !w.failed && pg_pb_identify_read(&again, pg_written(&w)) == PG_OK && pg_pb_identify_equal(&m, &again);
        if (!good)
            outcome = WRONG;
        free(bytes);
    }
    return outcome;
}

/* The peer that a vector names as provider or as closer, with its addresses. */
static bool same_peer(const cJSON *vector, const char *name, const struct pg_bytes *peers, uint32_t n)
{
    const cJSON *in = cJSON_GetObjectItemCaseSensitive(vector, "input");
    struct pg_identity *identity;
    struct pg_pb_kad_peer peer;
    if (!cJSON_GetObjectItemCaseSensitive(in, name))
        return n == 0;
    if (n != 1 || identity_of(input(vector, name), &identity) != PG_OK || pg_pb_kad_peer_read(&peer, peers[0]) != PG_OK)
        return false;
    const struct pg_peer_id *id = pg_identity_peer_id(identity);
    bool same = pg_bytes_equal(peer.id, pg_bytes(id->at, id->len));
    pg_identity_free(identity);
    return same && same_list(cJSON_GetObjectItemCaseSensitive(in, "addrs"), peer.addrs, peer.n_addrs, true);
}

static bool same_field(const cJSON *vector, const char *name, bool has, struct pg_bytes field)
{
    size_t len;
    if (!cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(vector, "input"), name))
        return !has;
    uint8_t *bytes = unhex(input(vector, name), &len);
    bool same = pg_bytes_equal(field, pg_bytes(bytes, len));
    free(bytes);
    return same;
}

/* Go and JavaScript differ in defaults that they write: each is read as the input's message, and written again as the same. */
static enum outcome kad_message(const cJSON *vector)
{
    const cJSON *answer;
    enum outcome outcome = GOOD;
    cJSON_ArrayForEach(answer, cJSON_GetObjectItemCaseSensitive(vector, "differ"))
    {
        static struct pg_pb_kad_message m, again;
        size_t len;
        uint8_t out[1024], *bytes = unhex(answer->valuestring, &len);
        bool good = pg_pb_kad_message_read(&m, pg_bytes(bytes, len)) == PG_OK && (int)m.type == (int)number(vector, "type") &&
                    same_field(vector, "key", m.has_key, m.key) && same_field(vector, "value", m.record.has_value, m.record.value) &&
                    (!m.has_record || pg_bytes_equal(m.record.key, m.key)) &&
                    same_peer(vector, "provider", m.provider_peers, m.n_provider_peers) &&
                    same_peer(vector, "closer", m.closer_peers, m.n_closer_peers);
        struct pg_writer w = pg_writer(out, sizeof out);
        pg_pb_kad_message_write(&m, &w);
        good = good && !w.failed && pg_pb_kad_message_read(&again, pg_written(&w)) == PG_OK && pg_pb_kad_message_equal(&m, &again);
        if (!good)
            outcome = WRONG;
        free(bytes);
    }
    return outcome;
}

/* What we seal is opened again, and only for the same purpose. */
static enum outcome envelope(const cJSON *vector)
{
    struct pg_identity *identity;
    struct pg_public_key author;
    size_t type_len, len;
    uint8_t out[1024], *type = unhex(input(vector, "type"), &type_len), *text = unhex(input(vector, "payload"), &len);
    struct pg_bytes domain = pg_text(input(vector, "domain")), kind = pg_bytes(type, type_len), payload;
    struct pg_writer w = pg_writer(out, sizeof out);
    CU_ASSERT_EQUAL_FATAL(identity_of(input(vector, "priv"), &identity), PG_OK);
    CU_ASSERT_TRUE(pg_envelope_seal(identity, domain, kind, pg_bytes(text, len), &w));
    CU_ASSERT_EQUAL(pg_envelope_open(pg_written(&w), domain, kind, &author, &payload), PG_OK);
    CU_ASSERT_TRUE(pg_bytes_equal(payload, pg_bytes(text, len)));
    CU_ASSERT_EQUAL(pg_envelope_open(pg_written(&w), PG_LIT("another"), kind, &author, &payload), PG_ERR_ENVELOPE_SIGNATURE);
    CU_ASSERT_EQUAL(pg_envelope_open(pg_written(&w), domain, PG_LIT("?"), &author, &payload), PG_ERR_ENVELOPE_TYPE);
    pg_identity_free(identity);
    free(type);
    free(text);
    return same_bytes(vector, pg_written(&w));
}

static enum outcome record_of(const cJSON *vector, bool sealed)
{
    const cJSON *text, *list = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(vector, "input"), "addrs");
    struct pg_identity *identity;
    struct pg_multiaddr addrs[8];
    static struct pg_peer_record back;
    uint8_t out[1024];
    uint32_t n = 0;
    uint64_t seq = (uint64_t)number(vector, "seq");
    struct pg_writer w = pg_writer(out, sizeof out);
    CU_ASSERT_EQUAL_FATAL(identity_of(input(vector, "priv"), &identity), PG_OK);
    cJSON_ArrayForEach(text, list) CU_ASSERT_EQUAL(pg_multiaddr_parse(&addrs[n++], pg_text(text->valuestring)), PG_OK);
    const struct pg_peer_id *peer = pg_identity_peer_id(identity);
    CU_ASSERT_TRUE(sealed ? pg_peer_record_seal(identity, seq, addrs, n, &w) : pg_peer_record_write(peer, seq, addrs, n, &w));
    if (sealed) {
        CU_ASSERT_EQUAL(pg_peer_record_open(&back, pg_written(&w), peer), PG_OK);
        CU_ASSERT_TRUE(back.seq == seq && back.n_addrs == n);
        for (uint32_t i = 0; i < n && i < back.n_addrs; i++)
            CU_ASSERT_TRUE(pg_multiaddr_equal(&back.addrs[i], &addrs[i]));
    }
    pg_identity_free(identity);
    return same_bytes(vector, pg_written(&w));
}

static enum outcome record_plain(const cJSON *vector)
{
    return record_of(vector, false);
}

static enum outcome record_sealed(const cJSON *vector)
{
    return record_of(vector, true);
}

static void keys_are_read_written_and_refused(void)
{
    run("priv_canon", same_private);
    run("priv_decode", same_private);
    run("pub_from_priv", public_of_private);
    run("pub_decode", public_read);
}

static void signatures_are_made_and_checked(void)
{
    run("sign", signs);
    run("verify", verifies);
}

static void peer_ids_are_made_printed_and_read(void)
{
    run("peerid_bytes", id_bytes);
    run("peerid_b58", id_base58);
    run("peerid_cid", id_cid);
    run("peerid_parse", id_parse);
}

static void multiaddrs_are_read_and_printed(void)
{
    run("ma_bytes", addr_bytes);
    run("ma_text", addr_text);
}

static void multistream_lines_are_written_and_read(void)
{
    run("mss", multistream_line);
}

static void yamux_headers_are_written_and_read(void)
{
    run("yamux", yamux_header);
}

static void noise_payloads_and_the_transcript_are_the_same(void)
{
    run("noise_sig", noise_signature);
    run("noise_payload", noise_payload);
    run("noise_xx", noise_transcript);
}

static void identify_is_read_in_any_order_of_fields(void)
{
    run("identify", identify_message);
}

static void kademlia_has_the_same_places_distances_and_messages(void)
{
    run("kad_id", kad_place);
    run("kad_xor", kad_distance);
    run("kad_cpl", kad_distance);
    run("kad_msg", kad_message);
}

static void envelopes_and_records_are_sealed_and_opened(void)
{
    run("envelope_seal", envelope);
    run("peer_record", record_plain);
    run("peer_record_envelope", record_sealed);
}

/* What another program answers, or nobody yet: a group here is one that nobody forgot. */
static const struct {
    const char *op, *why;
} left_out[] = {
    {"autonat1", "no AutoNAT yet"},
    {"autonat2_back", "no AutoNAT yet"},
    {"autonat2_dial", "no AutoNAT yet"},
    {"autonat2_resp", "no AutoNAT yet"},
    {"dcutr", "no hole punching yet"},
    {"gossip_id", "no gossip yet"},
    {"gossip_msg", "no gossip yet"},
    {"gossip_rpc", "no gossip yet"},
    {"gossip_sig", "no gossip yet"},
    {"relay_hop", "vectors_nat_test.c"},
    {"relay_stop", "vectors_nat_test.c"},
    {"relay_voucher", "vectors_nat_test.c"},
    {"relay_voucher_envelope", "vectors_nat_test.c"},
    {"tls_ext", "no TLS yet"},
    {"tls_verify", "no TLS yet"},
};

static bool was_run(const char *op)
{
    for (size_t i = 0; i < n_tallies; i++)
        if (strcmp(tallies[i].op, op) == 0)
            return true;
    return false;
}

static void every_group_is_run_or_left_out_by_name(void)
{
    const cJSON *vector;
    cJSON_ArrayForEach(vector, cJSON_GetObjectItemCaseSensitive(vectors, "cases"))
    {
        const char *op = text_of(vector, "op");
        int times = was_run(op);
        for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
            times += strcmp(left_out[i].op, op) == 0;
        if (times != 1)
            fprintf(stderr, "\n%s: run or named as left out %d times\n", op, times);
        CU_ASSERT_EQUAL(times, 1);
    }
}

static int size_of_group(const char *op)
{
    const cJSON *vector;
    int n = 0;
    cJSON_ArrayForEach(vector, cJSON_GetObjectItemCaseSensitive(vectors, "cases")) n += strcmp(text_of(vector, "op"), op) == 0;
    return n;
}

static void report(void)
{
    int ran = 0;
    for (size_t i = 0; i < n_tallies; i++)
        ran += tallies[i].good;
    printf("ran %d of %d:", ran, cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(vectors, "cases")));
    for (size_t i = 0; i < n_tallies; i++)
        printf(" %s %d", tallies[i].op, tallies[i].good);
    printf("\nleft out, private keys that cannot be ours (RSA, ECDSA):");
    for (size_t i = 0; i < n_tallies; i++)
        if (tallies[i].later)
            printf(" %s %d", tallies[i].op, tallies[i].later);
    printf("\nleft out, parts of others or that do not exist yet:");
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        printf(" %s %d (%s)", left_out[i].op, size_of_group(left_out[i].op), left_out[i].why);
    printf("\nwhere libraries differ:\n");
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        printf("  %s: %s (%s)\n", choices[i].name, choices[i].follow, choices[i].why);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"keys are read, written and refused", keys_are_read_written_and_refused},
        {"signatures are made and checked", signatures_are_made_and_checked},
        {"peer ids are made, printed and read", peer_ids_are_made_printed_and_read},
        {"multiaddrs are read and printed", multiaddrs_are_read_and_printed},
        {"multistream lines are written and read", multistream_lines_are_written_and_read},
        {"yamux headers are written and read", yamux_headers_are_written_and_read},
        {"noise payloads and the transcript are the same", noise_payloads_and_the_transcript_are_the_same},
        {"identify is read in any order of fields", identify_is_read_in_any_order_of_fields},
        {"Kademlia has the same places, distances and messages", kademlia_has_the_same_places_distances_and_messages},
        {"envelopes and records are sealed and opened", envelopes_and_records_are_sealed_and_opened},
        {"every group is run or left out by name", every_group_is_run_or_left_out_by_name},
    };
    vectors = load("tests/vectors.json");
    if (!vectors)
        return 1;
    int status = RUN_SUITE("vectors of go-, rust- and js-libp2p", sentences);
    report();
    cJSON_Delete(vectors);
    return status;
}
