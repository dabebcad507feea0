/* Facts and actions of the nat machine: it only keeps the last verdict, so it only has something to say.
 * Called by the generated binding, within a turn of the control plane.
 * Serves spec/machine/nat.sm; libp2p/specs autonat/autonat-v1.md. */
#include "core/control.h"

void pg_nat_do_note(struct pg_nat *self)
{
    pg_control_plane_note(self->plane, &self->in, "NAT status changed");
}
