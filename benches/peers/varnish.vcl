# Varnish, for cached reads: what it is started with is in `servers.rs`.
vcl 4.1;

backend registry {
    .host = "@REGISTRY@";
}

sub vcl_recv {
    return (hash);
}

sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}

sub vcl_backend_response {
    set beresp.ttl = 1d;
    unset beresp.http.Vary;
    return (deliver);
}
