/* Answers of go- and js-libp2p about relays to the same inputs, against ours: tests/vectors.json.
 * Run by ctest in the source root. */
#include "vectors.h"

#include "circuit.pb.gen.h"
#include "core/voucher.h"
#include "crypto/multiaddr.h"

static const cJSON *given(const cJSON *vector, const char *field)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(vector, "input"), field);
}

static bool peer_of(const cJSON *vector, const char *field, struct pg_peer_id *peer)
{
    struct pg_identity *identity;
    if (!given(vector, field) || identity_of(input(vector, field), &identity) != PG_OK)
        return false;
    *peer = *pg_identity_peer_id(identity);
    pg_identity_free(identity);
    return true;
}

/* Addresses of a list; what is put into `out` borrows from `texts`. */
static uint32_t addrs_of(const cJSON *list, struct pg_multiaddr texts[8], struct pg_bytes *out)
{
    const cJSON *text;
    uint32_t n = 0;
    cJSON_ArrayForEach(text, list)
    {
        CU_ASSERT_EQUAL(pg_multiaddr_parse(&texts[n], pg_text(text->valuestring)), PG_OK);
        out[n] = pg_bytes(texts[n].at, texts[n].len);
        n++;
    }
    return n;
}

static bool circuit_peer(const cJSON *vector, struct pg_peer_id *id, struct pg_multiaddr texts[8], struct pg_pb_circuit_peer *peer)
{
    if (!peer_of(vector, "peer", id))
        return false;
    *peer = (struct pg_pb_circuit_peer){.has_id = true, .id = pg_bytes(id->at, id->len)};
    peer->n_addrs = addrs_of(given(vector, "addrs"), texts, peer->addrs);
    return true;
}

static bool circuit_limit(const cJSON *vector, struct pg_pb_circuit_limit *limit)
{
    if (!given(vector, "duration"))
        return false;
    *limit = (struct pg_pb_circuit_limit){.has_duration = true, .duration = (uint32_t)number(vector, "duration"), .has_data = true,
                                          .data = (uint64_t)number(vector, "data")};
    return true;
}

static bool circuit_status(const cJSON *vector, enum pg_pb_circuit_status *status)
{
    if (given(vector, "status"))
        *status = (enum pg_pb_circuit_status)number(vector, "status");
    return given(vector, "status") != NULL;
}

static enum outcome hop_message(const cJSON *vector)
{
    static struct pg_pb_hop_message back;
    struct pg_pb_hop_message m = {.has_type = true, .type = (enum pg_pb_hop_message_type)number(vector, "type")};
    struct pg_multiaddr texts[8];
    struct pg_peer_id id;
    uint8_t out[1024];
    struct pg_writer w = pg_writer(out, sizeof out);
    m.has_peer = circuit_peer(vector, &id, texts, &m.peer);
    m.has_limit = circuit_limit(vector, &m.limit);
    m.has_status = circuit_status(vector, &m.status);
    m.has_reservation = given(vector, "expire") != NULL;
    if (m.has_reservation) {
        m.reservation = (struct pg_pb_reservation){.has_expire = true, .expire = (uint64_t)number(vector, "expire")};
        m.reservation.n_addrs = addrs_of(given(vector, "raddrs"), texts, m.reservation.addrs);
    }
    pg_pb_hop_message_write(&m, &w);
    CU_ASSERT_EQUAL(pg_pb_hop_message_read(&back, pg_written(&w)), PG_OK);
    CU_ASSERT_TRUE(pg_pb_hop_message_equal(&m, &back));
    return same_bytes(vector, pg_written(&w));
}

static enum outcome stop_message(const cJSON *vector)
{
    static struct pg_pb_stop_message back;
    struct pg_pb_stop_message m = {.has_type = true, .type = (enum pg_pb_stop_message_type)number(vector, "type")};
    struct pg_multiaddr texts[8];
    struct pg_peer_id id;
    uint8_t out[1024];
    struct pg_writer w = pg_writer(out, sizeof out);
    m.has_peer = circuit_peer(vector, &id, texts, &m.peer);
    m.has_limit = circuit_limit(vector, &m.limit);
    m.has_status = circuit_status(vector, &m.status);
    pg_pb_stop_message_write(&m, &w);
    CU_ASSERT_EQUAL(pg_pb_stop_message_read(&back, pg_written(&w)), PG_OK);
    CU_ASSERT_TRUE(pg_pb_stop_message_equal(&m, &back));
    return same_bytes(vector, pg_written(&w));
}

static enum outcome voucher_of(const cJSON *vector, bool sealed)
{
    struct pg_identity *relay;
    struct pg_peer_id peer;
    uint8_t out[512];
    uint64_t expiration = (uint64_t)number(vector, "expiration"), until;
    struct pg_writer w = pg_writer(out, sizeof out);
    CU_ASSERT_EQUAL_FATAL(identity_of(input(vector, "relay"), &relay), PG_OK);
    CU_ASSERT_TRUE_FATAL(peer_of(vector, "peer", &peer));
    const struct pg_peer_id *own = pg_identity_peer_id(relay);
    CU_ASSERT_TRUE(sealed ? pg_voucher_seal(relay, &peer, expiration, &w) : pg_voucher_write(own, &peer, expiration, &w));
    if (sealed) {
        CU_ASSERT_EQUAL(pg_voucher_open(pg_written(&w), own, &peer, expiration - 1, &until), PG_OK);
        CU_ASSERT_TRUE(until == expiration);
    }
    pg_identity_free(relay);
    return same_bytes(vector, pg_written(&w));
}

static enum outcome voucher_plain(const cJSON *vector)
{
    return voucher_of(vector, false);
}

static enum outcome voucher_sealed(const cJSON *vector)
{
    return voucher_of(vector, true);
}

static void circuits_have_the_same_messages_and_vouchers(void)
{
    run("relay_hop", hop_message);
    run("relay_stop", stop_message);
    run("relay_voucher", voucher_plain);
    run("relay_voucher_envelope", voucher_sealed);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"circuits have the same messages and vouchers", circuits_have_the_same_messages_and_vouchers},
    };
    vectors = load("tests/vectors.json");
    if (!vectors)
        return 1;
    int status = RUN_SUITE("vectors of go- and js-libp2p about relays", sentences);
    for (size_t i = 0; i < n_tallies; i++)
        printf("%s %d\n", tallies[i].op, tallies[i].good);
    cJSON_Delete(vectors);
    return status;
}
