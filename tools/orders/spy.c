/* Stands between instances and their bindings: pg_instance_init is wrapped by the linker, so nothing in src/ knows of it.
 * Compares every fact that is asked with the subject's own notes, shows it every action, and plants lies for tests.
 * Called by the core's own pg_instance_init calls and by main.c. */
#include "orders.h"
#include "machines.gen.h"
#include <string.h>

#define SPIES 64
static const struct pg_binding *real[SPIES];
static const struct pg_machine *machines[SPIES];
static struct {
    enum orders_plant kind;
    unsigned machine, name, other;
} plant;

static bool fact(unsigned id, const void *self, unsigned number)
{
    bool said = real[id]->fact(self, number);
    if (plant.kind == ORDERS_LIE && plant.machine == id && plant.name == number)
        said = !said;
    const struct orders_subject *s = orders_running;
    struct orders_group group = {0};
    int truth = s->truth ? s->truth(machines[id], self, number) : -1;
    ORDERS_HOLDS(truth < 0 || truth == said, "%s.%s answers %d, and it is %d", machines[id]->name, machines[id]->facts[number], said, truth);
    if (said && s->group && s->group(machines[id], self, &group))
        orders_check_given(&group, self, number);
    return said;
}

static void act(unsigned id, void *self, unsigned number)
{
    const struct orders_subject *s = orders_running;
    bool hit = plant.machine == id && plant.name == number;
    if (s->before_act)
        s->before_act(machines[id], self, number);
    if (!(hit && plant.kind == ORDERS_SKIP))
        real[id]->act(self, hit && plant.kind == ORDERS_SWAP ? plant.other : number);
    if (s->after_act)
        s->after_act(machines[id], self, number);
}

/* A binding knows no machine, so each machine has one of its own. */
#define SPY(n) \
    static bool fact_##n(const void *self, unsigned number) { return fact(n, self, number); } \
    static void act_##n(void *self, unsigned number) { act(n, self, number); } \
    static uint64_t duration_##n(const void *self, unsigned timer) { return real[n]->duration_ms(self, timer); }
#define EACH(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) \
    X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32) X(33) X(34) X(35) X(36) X(37) X(38) X(39) X(40) X(41) \
    X(42) X(43) X(44) X(45) X(46) X(47) X(48) X(49) X(50) X(51) X(52) X(53) X(54) X(55) X(56) X(57) X(58) X(59) X(60) X(61) \
    X(62) X(63)
EACH(SPY)
#define BINDING(n) {fact_##n, act_##n, duration_##n},
static const struct pg_binding spies[SPIES] = {EACH(BINDING)};
_Static_assert(PG_MACHINES <= SPIES, "more machines than spies");

void __real_pg_instance_init(struct pg_instance *, const struct pg_machine *, const struct pg_binding *, void *self, struct pg_scope *,
                             struct pg_timer *, struct pg_instance *owner, uint32_t key);
void __wrap_pg_instance_init(struct pg_instance *, const struct pg_machine *, const struct pg_binding *, void *self, struct pg_scope *,
                             struct pg_timer *, struct pg_instance *owner, uint32_t key);

void __wrap_pg_instance_init(struct pg_instance *in, const struct pg_machine *m, const struct pg_binding *binding, void *self,
                             struct pg_scope *scope, struct pg_timer *timers, struct pg_instance *owner, uint32_t key)
{
    if (!orders_running) { /* somebody else's instances */
        __real_pg_instance_init(in, m, binding, self, scope, timers, owner, key);
        return;
    }
    real[m->id] = binding;
    machines[m->id] = m;
    __real_pg_instance_init(in, m, &spies[m->id], self, scope, timers, owner, key);
}

static bool number_of(const char *const *names, unsigned n, const char *name, unsigned *out)
{
    for (*out = 0; *out < n; (*out)++)
        if (strcmp(names[*out], name) == 0)
            return true;
    return false;
}

bool orders_plant(enum orders_plant kind, const char *machine, const char *name, const char *other)
{
    plant.kind = kind;
    for (unsigned n = 0; n < PG_MACHINES && kind; n++) {
        const struct pg_machine *m = pg_machines[n];
        if (strcmp(m->name, machine) != 0)
            continue;
        plant.machine = m->id;
        if (kind == ORDERS_LIE)
            return number_of(m->facts, m->n_facts, name, &plant.name);
        return number_of(m->actions, m->n_actions, name, &plant.name) &&
               (kind == ORDERS_SKIP || number_of(m->actions, m->n_actions, other, &plant.other));
    }
    return !kind;
}
