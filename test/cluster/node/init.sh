#!/usr/bin/env bash
# The first process of the node: process 1 of its own pid namespace, in mount, network, UTS and IPC namespaces of its own,
# started by up.sh. It makes the place look like a machine whose only purpose is Kubernetes, starts the components and
# starts again what ends. When it is killed, the kernel ends all that runs here, pods too, and takes back mounts, network
# devices and rules.
#
# What follows is seen from inside. In /run/cluster are
#   bin/ the programs, state/conf/ configuration and kubeconfigs, state/pki/ certificates, logs/ a file a component
# of TULLE_BIN and TULLE_HOME, folders of the machine.
set -euo pipefail

# As the machine counts: /proc is still its own here.
read -r pid _ <"/proc/self/stat"
stat=$(cat "/proc/$pid/stat")
read -ra stat <<<"${stat##*) }"
echo "$pid ${stat[19]}" >"$TULLE_HOME/state/node.pid"

# Pods may ask for mounts to be passed on in both directions; nothing of that reaches the machine.
mount --make-rshared /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/cluster/{bin,state,logs}
cd /run/cluster
mount --bind "$TULLE_BIN" bin
mount --bind "$TULLE_HOME/state" state
mount --bind "$TULLE_HOME/logs" logs
for folder in log lib; do
  mkdir -p state/var/$folder
  mount --bind state/var/$folder /var/$folder
done
hostname node1
export PATH=/run/cluster/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
. state/conf/settings

# containerd knows one folder of network plugins: Debian's and ours.
mkdir cni
ln -s /usr/lib/cni/* cni/
ln -s ../state/conf/cni/no-dad cni/no-dad

# up.sh moves the other end of its cable in.
until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
ip link set lo up
ip addr add "$node_ip/30" dev eth0
ip addr add "$node_ip6/64" dev eth0 nodad
ip link set eth0 up
# There is no default route: nothing leaves the machine. Without any route to a Service's address, connect() fails before
# kube-proxy's rules see the packet; the rules then replace the address, so that nothing arrives at the cable's other end.
ip route add "$services" dev eth0 src "$node_ip"
ip -6 route add "$services6" dev eth0 src "$node_ip6"
for setting in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 >/proc/sys/net/$setting; done
for setting in ipv4/conf/all/rp_filter ipv6/conf/default/accept_dad; do echo 0 >/proc/sys/net/$setting; done

# keep NAME COMMAND…: runs a component, and again one second after it has ended. state/run/NAME.pid has its pid (as counted
# in here), state/run/ended a line for each end.
mkdir -p state/run
keep() {
  local name=$1 status
  shift
  while :; do
    "$@" >>"logs/$name.log" 2>&1 </dev/null &
    echo $! >"state/run/$name.pid"
    status=0
    wait $! || status=$?
    echo "$name ended with $status" >>state/run/ended
    sleep 1
  done
}

conf=/run/cluster/state/conf pki=/run/cluster/state/pki

keep etcd etcd --name=node1 --data-dir=/var/lib/etcd --unsafe-no-fsync --log-level=warn \
  --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
  --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
  --initial-cluster=node1=http://127.0.0.1:2380 --heartbeat-interval=50 --election-timeout=250 &

keep kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=:: --secure-port=6443 \
  --advertise-address="$node_ip" --external-hostname="$node_ip" --service-cluster-ip-range="$services,$services6" \
  --allow-privileged=true --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
  --client-ca-file=$pki/ca.crt --tls-cert-file=$pki/apiserver.crt --tls-private-key-file=$pki/apiserver.key \
  --kubelet-client-certificate=$pki/apiserver-kubelet.crt --kubelet-client-key=$pki/apiserver-kubelet.key \
  --kubelet-certificate-authority=$pki/ca.crt --kubelet-preferred-address-types=InternalIP \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-key-file=$pki/service-accounts.pub --service-account-signing-key-file=$pki/service-accounts.key \
  --requestheader-client-ca-file=$pki/front-proxy-ca.crt --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
  --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file=$pki/front-proxy.crt --proxy-client-key-file=$pki/front-proxy.key --profiling=false &

keep containerd containerd --config $conf/containerd.toml &

# The kubelet's cgroups go under one of the node's own: in each hierarchy (v1), or in the one that there is (v2).
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
  for controller in cpuset cpu io memory pids hugetlb; do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true # the kernel may lack one
  done
  mkdir -p "/sys/fs/cgroup/$cgroup"
else
  for hierarchy in /sys/fs/cgroup/*/; do
    hierarchy=${hierarchy%/}
    [ ! -L "$hierarchy" ] && [ "$(stat -fc %T "$hierarchy")" = cgroupfs ] || continue
    mkdir -p "$hierarchy/$cgroup"
    # In the hierarchy cpuset nothing runs in a group before these are set.
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy/$cgroup/$file"
    done
  done
fi

ready() {
  [ -S /run/containerd/containerd.sock ] && curl -sf -o /dev/null --cacert $pki/ca.crt --cert $pki/admin.crt \
    --key $pki/admin.key "https://$node_ip:6443/readyz"
}
# Who meets no API server waits for seconds before trying again.
until ready; do sleep 0.05; done

# Its client is limited to 20 requests a second by default, which is half of the start.
keep kube-controller-manager kube-controller-manager --bind-address=127.0.0.1 --leader-elect=false \
  --kubeconfig=$conf/controller-manager.kubeconfig --authentication-kubeconfig=$conf/controller-manager.kubeconfig \
  --authorization-kubeconfig=$conf/controller-manager.kubeconfig --kube-api-qps=500 --kube-api-burst=1000 \
  --use-service-account-credentials --service-account-private-key-file=$pki/service-accounts.key \
  --root-ca-file=$pki/ca.crt --cluster-signing-cert-file=$pki/ca.crt --cluster-signing-key-file=$pki/ca.key \
  --requestheader-client-ca-file=$pki/front-proxy-ca.crt &
keep kube-scheduler kube-scheduler --bind-address=127.0.0.1 --leader-elect=false \
  --kubeconfig=$conf/scheduler.kubeconfig --authentication-kubeconfig=$conf/scheduler.kubeconfig \
  --authorization-kubeconfig=$conf/scheduler.kubeconfig &
keep kubelet kubelet --config=$conf/kubelet.yaml --kubeconfig=$conf/kubelet.kubeconfig --hostname-override=node1 \
  --node-ip="$node_ip,$node_ip6" &
keep kube-proxy kube-proxy --config=$conf/kube-proxy.yaml &

# As process 1, the shell also takes leave of orphans.
wait
