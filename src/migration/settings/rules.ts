/** What QEMU makes of settings during a migration, where more than one room has to know it. */

/**
 * QEMU executes it in place of itself: setting it takes the user's consent, and it goes neither from
 * machine to machine by itself, nor into a profile.
 */
export const executedParameter = 'cpr-exec-command';

/** With one of these on at both sides QEMU compares the UUIDs, and fails when they differ. */
export const comparesUuids = ['validate-uuid', 'multifd'] as const;

/** They matter over `rdma:` alone, and no local migration goes that way. */
export const onlyOverRdma: ReadonlySet<string> = new Set(['rdma-pin-all', 'x-rdma-chunk-size']);
