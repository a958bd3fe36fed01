"""What is remembered of tokens and policies never outlives them: the next request knows."""

from rest import Api

from sagong.client.client import Client
from sagong.cmd.server import Running

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
RBAC = "rbac.authorization.k8s.io"


async def token_of(api: Api, account: str, **spec: object) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    token: str = (await api.call("POST", f"{ACCOUNTS}/{account}/token", body)).body["status"][
        "token"
    ]
    return token


async def account(client: Client, name: str) -> None:
    made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    await client.create("serviceaccounts", made, namespace="default")


async def grant(client: Client, verbs: list[str], *names: str) -> None:
    """A role and its binding to the account "robot"."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]
    if names:
        rules[0]["resourceNames"] = list(names)
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": rules}
    await client.create(f"roles.{RBAC}", role, namespace="default")
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}],
    }
    await client.create(f"rolebindings.{RBAC}", binding, namespace="default")


async def seen(api: Api, token: str, path: str = CONFIG_MAPS) -> list[int]:
    """The status, asked three times: the first answer fills whatever remembers."""
    return [(await api.call("GET", path, token=token)).status for _ in range(3)]


async def test_a_deleted_account_is_nobody_at_once(api: Api, client: Client) -> None:
    await account(client, "robot")
    await grant(client, ["list"])
    token = await token_of(api, "robot")
    assert await seen(api, token) == [200] * 3
    await client.delete("serviceaccounts", "robot", namespace="default")
    assert await seen(api, token) == [401] * 3
    # Another account of that name is another account.
    await account(client, "robot")
    assert await seen(api, token) == [401] * 3
    assert await seen(api, await token_of(api, "robot")) == [200] * 3


async def test_a_token_ends_with_the_secret_that_it_is_bound_to(api: Api, client: Client) -> None:
    await account(client, "robot")
    await grant(client, ["list"])
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    await client.create("secrets", secret, namespace="default")
    bound = {"kind": "Secret", "apiVersion": "v1", "name": "s"}
    token = await token_of(api, "robot", boundObjectRef=bound)
    assert await seen(api, token) == [200] * 3
    await client.delete("secrets", "s", namespace="default")
    assert await seen(api, token) == [401] * 3


async def test_a_binding_and_a_role_count_until_they_change(api: Api, client: Client) -> None:
    await account(client, "robot")
    token = await token_of(api, "robot")
    assert await seen(api, token) == [403] * 3
    await grant(client, ["get", "list"])
    assert await seen(api, token) == [200] * 3
    get = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    await client.patch(f"roles.{RBAC}", "r", {"rules": get}, namespace="default")
    assert await seen(api, token) == [403] * 3
    assert await seen(api, token, f"{CONFIG_MAPS}/none") == [404] * 3
    await client.delete(f"rolebindings.{RBAC}", "b", namespace="default")
    assert await seen(api, token, f"{CONFIG_MAPS}/none") == [403] * 3


async def test_what_is_allowed_of_one_name_is_not_of_another(api: Api, client: Client) -> None:
    await account(client, "robot")
    await grant(client, ["get"], "mine")
    token = await token_of(api, "robot")
    assert await seen(api, token, f"{CONFIG_MAPS}/mine") == [404] * 3
    assert await seen(api, token, f"{CONFIG_MAPS}/other") == [403] * 3
    assert await seen(api, token, f"{CONFIG_MAPS}/mine") == [404] * 3


async def test_a_review_of_odd_names_opens_no_path(
    api: Api, client: Client, server: Running
) -> None:
    """A resource's group may be called like a path; what is decided of one is not of the other."""
    await account(client, "robot")
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    role = {"metadata": {"name": "all"}, "rules": everything}
    await client.create(f"clusterroles.{RBAC}", role)
    subjects = [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]
    ref = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "all"}
    binding = {"metadata": {"name": "all"}, "roleRef": ref, "subjects": subjects}
    await client.create(f"clusterrolebindings.{RBAC}", binding)
    token = await token_of(api, "robot")
    asked = {"group": "/metrics", "resource": "", "verb": "get"}
    group = "authorization.k8s.io"
    review = {
        "apiVersion": f"{group}/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    path = f"/apis/{group}/v1/selfsubjectaccessreviews"
    answer = await api.call("POST", path, review, token=token)
    assert answer.body["status"]["allowed"]
    assert await seen(api, token, "/metrics") == [403] * 3
