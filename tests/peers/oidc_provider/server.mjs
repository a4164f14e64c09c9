// An authorization server that we did not write (npm's oidc-provider, OpenID certified) behind the few things
// that make it an EHR's: a smart-configuration document, a login without a browser, a launch context, a Patient.
//
// Standard input: {"clients": [client metadata as RFC 7591 names it], "port": a port, or none for a free one,
// "keys": private JWKs to sign with, or none for new ones}.
// Standard output: one line of JSON, {"issuer", "fhir_base", "launch"}, once it listens (on loopback);
// launch is the handle of an EHR launch. It ends with its standard input.
// GET {issuer}/seen tells which token, introspection and revocation requests it judged, and how they looked.
// POST {issuer}/initial-access-token makes one, POST {issuer}/rotate gives the server new signing keys.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

// oidc-provider is written for Node 22; 20.12 suffices once it has this.
URL.parse ??= (url, base) => (URL.canParse(url, base) ? new URL(url, base) : null);

const { Provider, errors } = await import('oidc-provider');
const { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair } = await import('jose');
const { default: MemoryAdapter } = await import('oidc-provider/lib/adapters/memory_adapter.js');
const { default: LRU } = await import('oidc-provider/lib/helpers/lru.js');

const PATIENT = { resourceType: 'Patient', id: 'pat-1', name: [{ family: 'Example', given: ['Erin'] }] };
const SCOPES = [
  'openid', 'offline_access', 'fhirUser', 'launch', 'launch/patient',
  'patient/*.rs', 'patient/Patient.rs', 'user/*.rs', 'system/*.rs', 'system/Patient.rs',
  'system/Group.rs',
];
const ID_TOKEN_ALGORITHMS = ['RS256', 'ES384'];
const READS_PATIENTS = /^(patient|user|system)\/(\*|Patient)\.[cu]?r/;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { clients, port = 0, keys = [] } = JSON.parse((await lines.next()).value);

const server = createServer();
await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const fhirBase = `${issuer}/fhir`;

const launchHandle = randomBytes(16).toString('base64'); // with its +, / and =

const signingKeys = [...keys];
async function addSigningKeys() {
  const generation = signingKeys.length / ID_TOKEN_ALGORITHMS.length + 1;
  const made = await Promise.all(ID_TOKEN_ALGORITHMS.map(async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `server-${alg}-${generation}` };
  }));
  signingKeys.unshift(...made); // it signs with the first that fits
}

const inContext = (scopes) => ['launch', 'launch/patient'].some((scope) => scopes.includes(scope));

// Its own memory ends with a provider, and forgets all but the last thousand things.
const kept = new LRU({ maxSize: 1_000_000 });

const settings = {
  adapter: (model) => new MemoryAdapter(model, kept),
  clients,
  cookies: { keys: [randomBytes(32).toString('hex')], long: { sameSite: 'none' } },
  enableHttpPostMethods: true,
  scopes: SCOPES,
  claims: { openid: ['sub'], fhirUser: ['fhirUser'] },
  conformIdTokenClaims: false, // SMART wants fhirUser in the ID token itself
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (ctx, client, source) => client.grantTypeAllowed('refresh_token')
    && source.scopes.has('offline_access'),
  clientAuthMethods: ['private_key_jwt', 'client_secret_basic', 'client_secret_post', 'none'],
  enabledJWA: { clientAuthSigningAlgValues: ['RS384', 'ES384'], idTokenSigningAlgValues: ID_TOKEN_ALGORITHMS },
  // SMART App Launch 2.2.0, token introspection: the launch context and fhirUser of the token response are repeated.
  extraTokenClaims: (ctx, token) => (token.kind === 'AccessToken' ? {
    patient: inContext([...token.scopes]) ? PATIENT.id : undefined,
    fhirUser: token.scopes.has('fhirUser') ? fhirUser(token.accountId) : undefined,
  } : undefined),
  extraParams: {
    // SMART App Launch 2.2.0, section 2.0.9: aud is the FHIR base, and a server shall check it.
    aud(ctx, value) {
      if (value !== fhirBase) throw new errors.InvalidRequest('aud must be the FHIR base URL');
    },
    // An EHR launch names a launch of this EHR, and asks for what it stands for.
    launch(ctx, value) {
      const asked = (ctx.oidc.params.scope ?? '').split(' ').includes('launch');
      if (value === undefined ? asked : value !== launchHandle || !asked) {
        throw new errors.InvalidRequest('launch and the scope launch belong together');
      }
    },
  },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    registration: { enabled: true, initialAccessToken: true },
    registrationManagement: { enabled: true, rotateRegistrationAccessToken: true },
    revocation: { enabled: true },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, fhirUser: fhirUser(id) }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  ttl: {
    AccessToken: 3600, AuthorizationCode: 60, ClientCredentials: 300, Grant: 86400, IdToken: 3600, Interaction: 600,
    RefreshToken: 86400, Session: 86400,
  },
};

function fhirUser(id) {
  return `${fhirBase}/Practitioner/${id}`;
}

const seen = [];
function note(outcome) {
  return (ctx, error) => {
    const { client_assertion: assertion, grant_type: grant } = ctx.oidc.body ?? {};
    seen.push({
      route: ctx.oidc.route,
      outcome,
      grant,
      error: error?.error,
      detail: error?.error_detail,
      parameters: Object.keys(ctx.oidc.body ?? {}),
      authorization_header: ctx.headers.authorization !== undefined,
      header: assertion && decodeProtectedHeader(assertion),
      claims: assertion && decodeJwt(assertion),
    });
  };
}

async function addContext(ctx, next) {
  await next();
  const { route } = ctx.oidc ?? {};
  if (['introspection', 'revocation'].includes(route)) note(ctx.status === 200 ? 'granted' : 'refused')(ctx);
  // The launch context travels beside the first access token; at a refresh this server leaves it out, as it may.
  if (route !== 'token' || ctx.status !== 200 || ctx.oidc.body.grant_type !== 'authorization_code') return;
  if (inContext(ctx.body.scope.split(' '))) {
    ctx.body = { ...ctx.body, patient: PATIENT.id, need_patient_banner: true };
  }
}

// OpenID Connect lets at_hash out where ID token and access token come together; many EHRs send it all the same.
// oidc-provider can: it makes the hash of what it is told here.
function withAccessTokenHash(issue) {
  return function issueWithHash(options) {
    const { AccessToken: accessToken } = this.ctx?.oidc.entities ?? {};
    if (options.use === 'idtoken' && accessToken) this.set('at_hash', accessToken.jti);
    return issue.call(this, options);
  };
}

let provider;
let oauth;
// oidc-provider reads its keys once, so new ones need a new one; what was issued is kept outside of both.
async function startProvider(withNewKeys = true) {
  if (withNewKeys) await addSigningKeys();
  provider = new Provider(issuer, { ...settings, jwks: { keys: signingKeys } });
  provider.on('grant.success', note('granted'));
  provider.on('grant.error', note('refused'));
  provider.on('server_error', (ctx, error) => console.error(error));
  provider.use(addContext);
  provider.IdToken.prototype.issue = withAccessTokenHash(provider.IdToken.prototype.issue);
  oauth = provider.callback();
}

function send(response, status, value, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

async function interact(request, response) {
  const { params } = await provider.interactionDetails(request, response);
  const grant = new provider.Grant({ accountId: 'dr-1', clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { login: { accountId: 'dr-1' }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

async function fhir(request, response) {
  const [, value] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? [];
  const token = value && (await provider.AccessToken.find(value) ?? await provider.ClientCredentials.find(value));
  if (!token?.isValid) return send(response, 401, { error: 'invalid_token' }, { 'www-authenticate': 'Bearer' });
  if (![...token.scopes].some((scope) => READS_PATIENTS.test(scope))) {
    return send(response, 403, { error: 'insufficient_scope' });
  }
  return send(response, 200, PATIENT, { 'content-type': 'application/fhir+json' });
}

const smartConfiguration = {
  issuer,
  jwks_uri: `${issuer}/jwks`,
  authorization_endpoint: `${issuer}/auth`,
  token_endpoint: `${issuer}/token`,
  introspection_endpoint: `${issuer}/token/introspection`,
  revocation_endpoint: `${issuer}/token/revocation`,
  registration_endpoint: `${issuer}/reg`,
  token_endpoint_auth_methods_supported: ['private_key_jwt', 'client_secret_basic', 'client_secret_post'],
  token_endpoint_auth_signing_alg_values_supported: ['RS384', 'ES384'],
  grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
  response_types_supported: ['code'],
  scopes_supported: SCOPES,
  code_challenge_methods_supported: ['S256'],
  authorization_response_iss_parameter_supported: true,
  capabilities: [
    'launch-ehr', 'launch-standalone', 'authorize-post',
    'client-public', 'client-confidential-symmetric', 'client-confidential-asymmetric',
    'sso-openid-connect', 'context-ehr-patient', 'context-standalone-patient', 'permission-offline', 'permission-online',
    'permission-patient', 'permission-user', 'permission-v2',
  ],
};

await startProvider(keys.length === 0);
server.on('request', async (request, response) => {
  const url = new URL(request.url, issuer);
  try {
    if (url.pathname === '/fhir/.well-known/smart-configuration') send(response, 200, smartConfiguration);
    else if (url.pathname === `/fhir/Patient/${PATIENT.id}`) await fhir(request, response);
    else if (url.pathname === '/seen') send(response, 200, seen);
    else if (request.method === 'POST' && url.pathname === '/initial-access-token') {
      send(response, 201, { initial_access_token: await new provider.InitialAccessToken({ expiresIn: 600 }).save() });
    } else if (request.method === 'POST' && url.pathname === '/rotate') {
      await startProvider();
      send(response, 201, {});
    } else if (url.pathname.startsWith('/interaction/')) await interact(request, response);
    else {
      // OpenID Connect drops offline_access unless the client asks for prompt=consent; SMART knows no such rule.
      // Only a request by GET can be helped from out here.
      const helped = request.method === 'GET' && url.pathname === '/auth' && !url.searchParams.has('prompt');
      if (helped) request.url += '&prompt=consent';
      await oauth(request, response);
    }
  } catch (error) {
    console.error(error);
    if (!response.headersSent) send(response, 500, { error: 'server_error' });
  }
});

console.log(JSON.stringify({ issuer, fhir_base: fhirBase, launch: launchHandle }));
await lines.next(); // until whoever started it closes standard input, or dies
process.exit(0);
