/* What the two files of the control plane's subject share: the world, and what has been noted of it.
 * Used by plane.c and plane_relays.c only. */
#pragma once
#include "orders.h"
#include "core/control.h"

#define HOUR_MS 3600000u
enum { SLOTS = 2 };
enum who { NOBODY, BOOT1, BOOT2, STRANGER, PEERS };
enum { PLAIN, MOVED, NEARBY, ADDRS }; /* the addresses of a peer: told, told by identify, told by mDNS */
enum what { SEED, TICK, JUDGE_COMES, JUDGE_GOES, MEASURED, CLIENT_COMES, CLIENT_GOES, WAIT };

struct choice {
    const char *name, *event;
    enum pg_seed_event_kind kind;
    enum who who;
    enum what what;
    uint8_t nat, addrs, remaining; /* addrs: mask */
    bool circuit;
    uint64_t lease_ms;
    int hop; /* what identify says of its relaying */
};

/* What happened, as the explorer itself has seen it. */
struct plane_notes {
    struct {
        uint8_t addrs; /* mask of those that are known */
        bool known, up, boot;
    } peers[PEERS];
    struct {
        bool hop, up, dropped, away, near; /* dropped: it failed by a lost connection last; away: it was not there when it failed last */
        unsigned failures, failed, granted; /* failures: since it last granted */
        uint64_t not_before_us;
    } relays[PEERS];
    struct slot {
        enum who asked;                /* NOBODY: none */
        bool out, granted;             /* a request unanswered; a circuit stands */
        uint64_t lease_end_us;
        uint8_t from;                  /* of the turn */
        uint64_t before;               /* its control and timers */
        uint64_t fired;                /* the timer of this one that a tick has fired, as its number and 1 */
    } slots[SLOTS];
    unsigned judges;
    bool kad_out; /* a bootstrap of Kademlia is out */
    bool judged, needed, stopping, ready, client, waited;
    uint8_t nat;
    uint64_t commanded; /* a sum that no order changes */
    /* of the turn */
    const struct choice *now;
    unsigned did[PG_SEED_COMMANDS], before;
    uint8_t from_phase, was_nat;
    enum who had[SLOTS];   /* relays of the reservations before the turn */
    bool was_ready;
    const char *fired;     /* the timer of a tick */
};
extern struct plane_notes plane_notes;
extern struct pg_scope plane_scope;
extern struct pg_control_plane plane_cp;
#define notes plane_notes
#define scope plane_scope
#define cp plane_cp

struct pg_peer_id plane_id(enum who);
enum who plane_who(const struct pg_peer_id *);
void plane_timer_holds(const struct pg_instance *, const char *timer, bool runs, uint64_t least_ms, uint64_t most_ms);

/* plane_relays.c: the reservations and the relays that are known. */
unsigned plane_slot(const void *self);
bool plane_can_reserve(void);
bool plane_can_hope(void);
bool plane_best_choice(enum who);
void plane_learn_relay(enum who, bool hop);
void plane_slot_after(const char *action, unsigned slot);
void plane_slot_turn_holds(const struct choice *, unsigned slot, enum who had_before);
void plane_reservation_holds(unsigned slot);
void plane_relays_hold(void);
uint64_t plane_mix_relays(void);
