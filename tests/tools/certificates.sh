#!/bin/bash
# Makes an authority and a certificate for 127.0.0.1 and localhost: certificates.sh FOLDER → ca.pem, server.pem, server.key
set -euo pipefail

mkdir -p "$1"
cd "$1"
if [ -f server.pem ] && openssl x509 -checkend 86400 -noout -in server.pem >/dev/null; then exit 0; fi
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=outpost test authority" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr 2>/dev/null
# rustls takes no authority as a server's certificate, so the leaf says that it is none.
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out server.new 2>/dev/null -extfile /dev/stdin <<END
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,IP:127.0.0.1
END
mv server.new server.pem
