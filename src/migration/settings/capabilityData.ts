import type { CapabilityInfo } from './catalogueTypes';

export const capabilities: readonly CapabilityInfo[] = [];
