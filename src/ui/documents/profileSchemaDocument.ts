import { type Disposable, type TextDocumentContentProvider, Uri, workspace } from 'vscode';
import { profileJsonSchema } from '../../migration/profiles/jsonSchema';
import type { Contribution } from '../contribution';
import { profileSchemaUri } from '../profiles/profilesFile';

/** The JSON schema of profiles as a document, for a file that names it as its `$schema`. */
export class ProfileSchemaDocument implements TextDocumentContentProvider, Contribution {
  register(): Disposable {
    const { scheme } = Uri.parse(profileSchemaUri);
    return workspace.registerTextDocumentContentProvider(scheme, this);
  }

  provideTextDocumentContent(): string {
    return JSON.stringify(profileJsonSchema(), undefined, 2);
  }
}
