/** Composition root: builds the objects and registers the contributions. */
export function activate(): void {
  // Contributions arrive with the rooms that they show.
}
