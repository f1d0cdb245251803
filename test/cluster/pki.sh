# Sourced by up.sh: the cluster's certificate authorities, certificates and kubeconfigs, made anew for every cluster.

openssl_certificate() { # openssl_certificate NAME ARGUMENT…
  local name=$1
  shift
  openssl req -config <(printf '[req]\ndistinguished_name=dn\n[dn]\n') -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
    -nodes -days 3650 -keyout "$pki/$name.key" -out "$pki/$name.crt" "$@" 2>/dev/null
}
authority() { # authority NAME
  openssl_certificate "$1" -subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,digitalSignature,keyCertSign,cRLSign
}
certificate() { # certificate NAME AUTHORITY SUBJECT USAGE [SUBJECT-ALTERNATIVE-NAMES]
  openssl_certificate "$1" -CA "$pki/$2.crt" -CAkey "$pki/$2.key" -subj "$3" -addext basicConstraints=critical,CA:FALSE \
    -addext keyUsage=critical,digitalSignature -addext "extendedKeyUsage=$4" ${5:+-addext "subjectAltName=$5"}
}
kubeconfig() { # kubeconfig NAME SUBJECT: for whoever signs in with a certificate of that subject
  certificate "$1" ca "$2" clientAuth
  cat >"$state/conf/$1.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters:
  - name: tulle
    cluster:
      server: https://$node_ip:6443
      certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 <"$pki/$1.crt")
      client-key-data: $(base64 -w0 <"$pki/$1.key")
contexts:
  - name: tulle
    context: {cluster: tulle, user: $1}
current-context: tulle
END
}

make_pki() {
  pki=$state/pki
  mkdir -p "$pki"
  authority ca
  authority front-proxy-ca
  local kubernetes=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
  certificate apiserver ca /CN=kube-apiserver serverAuth \
    "$kubernetes,DNS:localhost,IP:127.0.0.1,IP:$node_ip,IP:$node_ip6,IP:$api_ip"
  certificate apiserver-kubelet ca /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  certificate front-proxy front-proxy-ca /CN=front-proxy-client clientAuth
  certificate kubelet-server ca /O=system:nodes/CN=system:node:node1 serverAuth "DNS:node1,IP:$node_ip,IP:$node_ip6"
  openssl genrsa -out "$pki/service-accounts.key" 2048 2>/dev/null
  openssl rsa -in "$pki/service-accounts.key" -pubout -out "$pki/service-accounts.pub" 2>/dev/null
  kubeconfig admin /O=system:masters/CN=kubernetes-admin
  kubeconfig controller-manager /CN=system:kube-controller-manager
  kubeconfig scheduler /CN=system:kube-scheduler
  kubeconfig proxy /CN=system:kube-proxy
  kubeconfig kubelet /O=system:nodes/CN=system:node:node1
}
