"""Who may change objects and how: HTTP, authentication, authorisation, admission, endpoints,
watch. Imports store, api, core, client (types only). Never imports controllers, scheduler, node
or network: they meet at the API."""
