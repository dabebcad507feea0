/* What goes wrong in a scenario, and when: drawn from the seed, carried out by the simulated world.
 * Called by scenario.c. */
#include "scene.h"

enum kind { STALL, RESET, FORGET, CUT_OFF, KILL, POWER, SERVICES_DOWN, FREEZE, SLEEP, STARVE, LOCAL_RESET, STOP, NAMES, KINDS, REBOOT = KINDS };

static const char *const names[KINDS + 1] = {"stall", "reset", "forget", "cut off", "kill", "power loss", "services down", "freeze",
                                         "sleep", "no descriptors", "local reset", "stop", "bad names", "router's reboot"};

static void bury(struct peer *p)
{
    peer_free(p);
    p->down = true;
}

static void rise(struct peer *p)
{
    if (!p->down)
        return;
    p->down = false;
    peer_start(p);
}

/* Name servers that fail, dawdle or lie. */
void names_spoil(struct scene *sc)
{
    struct pg_sim_rules *r = pg_sim_rules(sc->sim);
    r->names_fail = pg_sim_chance(sc->sim, 500) ? pg_sim_below(sc->sim, 1001) : 0;
    r->names_late = pg_sim_below(sc->sim, 1001);
    r->names_wrong = pg_sim_chance(sc->sim, 500) ? pg_sim_below(sc->sim, 1001) : 0;
}

static void names_mend(struct scene *sc)
{
    struct pg_sim_rules *r = pg_sim_rules(sc->sim);
    r->names_fail = r->names_late = r->names_wrong = 0;
}

static void on_end(void *context, uint64_t argument)
{
    struct fault *f = context;
    struct scene *sc = f->scene;
    struct peer *p = &sc->peers[f->a];
    (void)argument;
    switch ((enum kind)f->kind) {
    case CUT_OFF: pg_sim_path(sc->sim, f->a, f->b)->dials = PG_SIM_OPEN; return;
    case KILL:
    case POWER: rise(p); return;
    case STOP:
        if (!p->peer || p->process != f->process)
            return; /* something else has ended it first */
        if (p->stopped)
            bury(p);
        else
            scene_fail(sc, "peer %u was told to stop and still runs %.1f s later", f->a, (double)f->for_us / 1e6);
        rise(p);
        return;
    case SERVICES_DOWN: services_open(sc, f->a); return;
    case NAMES: names_mend(sc); return;
    case STALL:
    case RESET:
    case FORGET:
    case FREEZE:
    case SLEEP:
    case STARVE:
    case LOCAL_RESET:
    case REBOOT: return;
    }
}

static void die(struct fault *f, struct peer *p)
{
    talks_excuse(f->scene, f->a, false);
    pg_sim_kill(p->process, f->kind == POWER ? PG_SIM_POWER_LOST : PG_SIM_KILLED);
    bury(p);
}

static void on_begin(void *context, uint64_t argument)
{
    struct fault *f = context;
    struct scene *sc = f->scene;
    struct pg_sim *s = sc->sim;
    struct peer *p = &sc->peers[f->a];
    struct pg_sim_path *path = pg_sim_path(s, f->a, f->b);
    bool alive = p->peer && pg_sim_is_running(p->process);
    (void)argument;
    switch ((enum kind)f->kind) {
    case STALL: path->stalled_until_us = pg_sim_now(s) + f->for_us; return;
    case RESET: pg_sim_break(s, f->a, f->b, PG_SIM_BREAK_RESET); return;
    case FORGET: pg_sim_break(s, f->a, f->b, PG_SIM_BREAK_SILENT); return;
    case CUT_OFF:
        path->dials = 1 + pg_sim_below(s, 3);
        pg_sim_break(s, f->a, f->b, f->flag ? PG_SIM_BREAK_SILENT : PG_SIM_BREAK_RESET);
        return;
    case KILL:
    case POWER:
        if (alive)
            die(f, p);
        return;
    case STOP:
        if (alive) {
            talks_excuse(sc, f->a, true);
            f->process = p->process;
            pg_sim_signal(p->process);
        }
        return;
    case SERVICES_DOWN: services_close(sc, f->a, f->flag); return;
    case FREEZE:
    case SLEEP:
        if (alive)
            pg_sim_freeze(p->process, f->for_us, f->flag);
        return;
    case STARVE:
        if (alive)
            pg_sim_starve(p->process, pg_sim_now(s) + f->for_us);
        return;
    case LOCAL_RESET: pg_sim_break(s, f->a, f->a, PG_SIM_BREAK_RESET); return;
    case NAMES: names_spoil(sc); return;
    case REBOOT: pg_sim_reboot(s, f->a, f->flag); return;
    }
}

static void draw(struct scene *sc, struct fault *f)
{
    struct pg_sim *s = sc->sim;
    f->scene = sc;
    f->kind = pg_sim_below(s, KINDS);
    if (f->kind == SLEEP && pg_sim_chance(s, 600))
        f->kind = FREEZE;
    f->a = pg_sim_below(s, sc->n_peers);
    f->b = (f->a + 1 + pg_sim_below(s, sc->n_peers - 1)) % sc->n_peers;
    f->at_us = pg_sim_now(s) + pg_sim_below(s, 40000000);
    if (sc->circuits && f->kind == NAMES) { /* which nobody uses there */
        f->kind = REBOOT;
        f->a %= PRIVATE;
    }
    f->for_us = pg_sim_below(s, pg_sim_chance(s, 500) ? 2000000 : 90000000);
    f->flag = pg_sim_chance(s, 500);
    if (f->kind == SLEEP)
        f->for_us = 8 * 3600 * SECONDS;
    if (sc->circuits && f->kind == SLEEP) /* wall clocks that stand still are a relay's own fault: what it grants has ended */
        f->flag = true;
    if (f->kind == STOP) /* it has five seconds for what runs, and ten for those who do not read */
        f->for_us += 20 * SECONDS;
    scene_note(sc, "%s%s of %u and %u at %.3f s for %.3f s%s", sc->story[0] ? "; " : "", names[f->kind], f->a, f->b, (double)f->at_us / 1e6,
               (double)f->for_us / 1e6, f->flag ? " (other way)" : "");
}

void faults_plan(struct scene *sc)
{
    struct pg_sim *s = sc->sim;
    sc->n_faults = pg_sim_chance(s, 300) || sc->apart ? 0 : 1 + pg_sim_below(s, FAULTS_MOST);
    sc->heal_us = pg_sim_now(s);
    for (unsigned i = 0; i < sc->n_faults; i++) {
        struct fault *f = &sc->faults[i];
        draw(sc, f);
        if (f->at_us + f->for_us > sc->heal_us)
            sc->heal_us = f->at_us + f->for_us;
        pg_sim_at(s, f->at_us, on_begin, f, 0);
        pg_sim_at(s, f->at_us + f->for_us, on_end, f, 0);
    }
    for (unsigned i = 0; i < sc->n_faults; i++) /* a frozen peer that is told to stop hears it when it thaws */
        if (sc->faults[i].kind == STOP)
            for (unsigned j = 0; j < sc->n_faults; j++)
                if ((sc->faults[j].kind == FREEZE || sc->faults[j].kind == SLEEP) && sc->faults[j].a == sc->faults[i].a)
                    sc->faults[i].kind = STALL;
}

void faults_heal(struct scene *sc)
{
    names_mend(sc);
    for (unsigned a = 0; a < sc->n_peers; a++) {
        struct peer *p = &sc->peers[a];
        services_open(sc, a);
        if (p->peer && p->stopped)
            bury(p);
        rise(p);
    }
}
