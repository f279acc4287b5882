import type { ParameterInfo } from './catalogueTypes';

export const parameters: readonly ParameterInfo[] = [];
