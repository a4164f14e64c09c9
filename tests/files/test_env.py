"""A configuration from environment variables."""

import pytest

from smart_async.errors import ConfigurationError
from smart_async.files import config_from_env, env, write_private_key
from smart_async.keys import SigningKey
from smart_async.messages import Secret
from smart_async.smart.client_secret import ClientSecret


@pytest.fixture(scope="session")
def key():
    return SigningKey.generate("ES384", kid="k1")


@pytest.fixture
def environ(tmp_path, key):
    """Return the variables of a backend client: what is needed, and no more."""
    write_private_key(tmp_path / "key.pem", key)
    return {
        "FHIR_BASE_URL": "https://ehr.example.com/r4",
        "SMART_CLIENT_ID": "growth-chart",
        "SMART_PRIVATE_KEY_PATH": str(tmp_path / "key.pem"),
        "PATH": "/bin",
    }


def test_three_variables_are_enough(environ, key):
    """Base URL, client id and key file make a configuration; the kid is then the thumbprint."""
    config = config_from_env(environ)
    assert (config.fhir_base, config.client_id) == ("https://ehr.example.com/r4", "growth-chart")
    assert (config.redirect_uri, config.scope, config.client_auth.jku) == (None, "", None)
    assert config.client_auth.key.kid == SigningKey.from_pem(key.private_pem()).kid


def test_every_variable_reaches_its_place(environ, tmp_path, key):
    """Key id, passphrase, JWK Set URL, redirect URI and scope are taken over."""
    write_private_key(tmp_path / "locked.pem", key, passphrase="open sesame ")
    config = config_from_env(
        environ
        | {
            "SMART_PRIVATE_KEY_PATH": str(tmp_path / "locked.pem"),
            "SMART_KEY_PASSPHRASE": "open sesame ",
            "SMART_KEY_ID": "k1",
            "SMART_JWKS_URI": "https://app.example.com/jwks.json",
            "SMART_REDIRECT_URI": "https://app.example.com/callback",
            "SMART_SCOPE": "openid fhirUser",
        }
    )
    assert config.client_auth.key.public_jwk() == key.public_jwk()
    assert config.client_auth.jku == "https://app.example.com/jwks.json"
    assert (config.redirect_uri, config.scope) == ("https://app.example.com/callback", "openid fhirUser")


def test_the_process_environment_is_read_by_default(environ, monkeypatch):
    """Without an argument it is os.environ."""
    for name in (
        "SMART_KEY_ID",
        "SMART_JWKS_URI",
        "SMART_CLIENT_SECRET",
        "SMART_REDIRECT_URI",
        "SMART_SCOPE",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert config_from_env().client_id == "growth-chart"


def test_white_space_around_values_and_empty_optional_values_do_not_count(environ):
    """Files of variables end in line breaks, and compose files set what is left out to nothing."""
    padded = {name: f" {value}\n" for name, value in environ.items()}
    empty = {"SMART_KEY_ID": "", "SMART_JWKS_URI": " ", "SMART_CLIENT_SECRET": "", "SMART_REDIRECT_URI": ""}
    assert config_from_env(padded | empty).fhir_base == "https://ehr.example.com/r4"


def test_a_passphrase_for_a_plain_key_is_not_looked_at(environ):
    """One environment may serve several keys."""
    assert config_from_env(environ | {"SMART_KEY_PASSPHRASE": "x"}).client_id == "growth-chart"


@pytest.mark.parametrize("variable", ["FHIR_BASE_URL", "SMART_CLIENT_ID"])
def test_a_needed_variable_that_is_missing_or_empty_is_named(environ, variable):
    """The error tells which variable, and whether it is missing or empty."""
    with pytest.raises(ConfigurationError, match=f"{variable} is empty"):
        config_from_env(environ | {variable: " "})
    del environ[variable]
    with pytest.raises(ConfigurationError, match=f"{variable} is not set") as caught:
        config_from_env(environ)
    assert (caught.value.field, caught.value.advice) == (variable, f"Set {variable}.")


@pytest.mark.parametrize("path", [None, "", " "])
def test_without_key_and_secret_the_error_says_what_to_set(environ, path):
    """Nothing to authenticate with: both variables are named, and the way for public clients."""
    del environ["SMART_PRIVATE_KEY_PATH"]
    given = {} if path is None else {"SMART_PRIVATE_KEY_PATH": path}
    with pytest.raises(ConfigurationError, match="Nothing is set") as caught:
        config_from_env(environ | given)
    for name in ("SMART_PRIVATE_KEY_PATH", "SMART_CLIENT_SECRET", "PublicClient"):
        assert name in caught.value.advice


@pytest.mark.rule("TK-08", "TK-10")
def test_a_key_and_a_secret_together_are_refused_by_both_names(environ):
    """A client authenticates in one way; the secret itself is not quoted."""
    with pytest.raises(
        ConfigurationError, match="Both SMART_PRIVATE_KEY_PATH and SMART_CLIENT_SECRET"
    ) as caught:
        config_from_env(environ | {"SMART_CLIENT_SECRET": "CANARY"})
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_alone_makes_a_client_with_a_secret(environ, end):
    """The secret is taken as it is, but for the line break of the file it came from, and is not shown."""
    del environ["SMART_PRIVATE_KEY_PATH"]
    config = config_from_env(environ | {"SMART_CLIENT_SECRET": f" m0ss GREEN {end}"})
    assert config.client_auth == ClientSecret(Secret(" m0ss GREEN "))
    assert "m0ss" not in repr(config)


def test_a_secret_that_cannot_be_sent_names_its_variable(environ):
    """A control character inside a secret is refused under the variable's name, unquoted."""
    del environ["SMART_PRIVATE_KEY_PATH"]
    with pytest.raises(ConfigurationError, match=r"^SMART_CLIENT_SECRET: ") as caught:
        config_from_env(environ | {"SMART_CLIENT_SECRET": "CAN\nARY"})
    assert "ARY" not in caught.value.message.removeprefix("SMART_CLIENT_SECRET: ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FHIR_BASE_URL", "http://ehr.example.com/r4"),
        ("FHIR_BASE_URL", "ehr.example.com"),
        ("SMART_CLIENT_ID", "é"),
        ("SMART_PRIVATE_KEY_PATH", "/nonexistent/key.pem"),
        ("SMART_PRIVATE_KEY_PATH", "/"),
        ("SMART_JWKS_URI", "http://app.example.com/jwks"),
        ("SMART_REDIRECT_URI", "not a uri"),
        ("SMART_SCOPE", 'a"b'),
    ],
)
def test_a_value_that_cannot_work_is_named_by_its_variable(environ, variable, value):
    """Whoever sets variables is told of variables, not of fields."""
    with pytest.raises(ConfigurationError, match=f"^{variable}: ") as caught:
        config_from_env(environ | {variable: value})
    assert caught.value.field == variable


@pytest.mark.parametrize("passphrase", [None, "CANARY"])
def test_an_encrypted_key_without_its_passphrase_names_the_variable(environ, tmp_path, key, passphrase):
    """A missing or wrong passphrase is the fault of SMART_KEY_PASSPHRASE, and is not quoted."""
    write_private_key(tmp_path / "locked.pem", key, passphrase="opensesame")
    given = {"SMART_KEY_PASSPHRASE": passphrase} if passphrase else {}
    with pytest.raises(ConfigurationError, match=r"^SMART_KEY_PASSPHRASE: ") as caught:
        config_from_env(environ | given | {"SMART_PRIVATE_KEY_PATH": str(tmp_path / "locked.pem")})
    assert "CANARY" not in str(caught.value)


def test_an_error_about_no_variable_passes_as_it_is(environ, tmp_path):
    """A P-256 key needs an algorithm, for which there is no variable."""
    write_private_key(tmp_path / "p256.pem", SigningKey.generate("ES256"))
    with pytest.raises(ConfigurationError, match="P-256") as caught:
        config_from_env(environ | {"SMART_PRIVATE_KEY_PATH": str(tmp_path / "p256.pem")})
    assert caught.value.field == "algorithm"


def test_loopback_http_only_if_allowed(environ):
    """Plain http is for servers on this machine, and only where the caller says so."""
    local = environ | {"FHIR_BASE_URL": "http://127.0.0.1:8080/r4"}
    assert config_from_env(local, allow_insecure_loopback=True).allow_insecure_loopback is True
    with pytest.raises(ConfigurationError, match=r"^FHIR_BASE_URL: .*plain http"):
        config_from_env(local)


def test_the_docstring_lists_every_variable():
    """help(config_from_env) is all that somebody at a prompt needs."""
    assert [name for name in set(env._VARIABLES.values()) if name not in config_from_env.__doc__] == []
