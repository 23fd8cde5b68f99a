#!/bin/bash
# testbed.sh up|down DIR PREFIX: a laptop, a login node and two GPU nodes on one machine, in network namespaces PREFIX-laptop, PREFIX-login,
# PREFIX-gpu01 and PREFIX-gpu02. laptop → login (sshd, slurmctld) → gpu01, gpu02 (sshd, slurmd, a device that passes for a GPU). Needs root.
# testbed.sh on HOST DIR PREFIX COMMAND…: runs a command as if on that host, which has its name, its network, its /tmp and its home folder (/root; the
# cluster's hosts share one). Everything else of the file system is the machine's. DIR must lie neither in /tmp nor in /root.
set -euo pipefail

on() { # HOST COMMAND…
  local h=$1 home=cluster; shift
  [ "$h" = laptop ] && home=laptop
  exec ip netns exec "$P-$h" unshare --uts -- bash -c 'hostname "$1"; mount --bind "$2" /tmp; [ ! -f "$4" ] || mount --bind "$(cat "$4")" "$3/.local/share/anomalymatch/runtime"
    mount --rbind "$3" /root; cd /root; eval "${TESTBED_BOOT:-}"; shift 4; exec "$@"' _ "$h" "$D/tmp/$h" "$D/home/$home" "$D/runtime" "$@"
}

start() { # HOST: its daemons
  case $1 in
  laptop) return ;;
  login)
    (on login /usr/sbin/sshd -f "$D/login.sshd" -E "$D/log/sshd-login")
    [ ! -f "$SLURM_CONF" ] || (on login slurmctld -f "$SLURM_CONF") ;;
  *)
    (on "$1" /usr/sbin/sshd -f "$D/$1.sshd" -E "$D/log/sshd-$1")
    [ ! -f "$SLURM_CONF" ] || (on "$1" slurmd -N "$1" -f "$SLURM_CONF") ;;
  esac
}

stop() { # HOST: whatever runs in its network, at once
  ip netns pids "$P-$1" | xargs -r kill -KILL 2>/dev/null || true
}

up() {
  mkdir -p "$D"/{log,state/ctld,munge,gpu,home/laptop/.ssh,home/cluster/.ssh} /run/sshd
  chmod 755 "$D" "$D/munge" # munge refuses parents that others can write
  chmod 700 "$D"/home/* "$D"/home/*/.ssh
  ip netns add "$P-laptop"
  for h in $HOSTS; do ip netns add "$P-$h"; done
  for h in laptop $HOSTS; do
    mkdir -p "/etc/netns/$P-$h" "$D/tmp/$h"; chmod 1777 "$D/tmp/$h"
    ip -n "$P-$h" link set lo up
    printf '127.0.0.1 localhost\n10.99.2.1 login\n10.99.2.2 gpu01\n10.99.2.3 gpu02\n' > "/etc/netns/$P-$h/hosts"
    : > "/etc/netns/$P-$h/resolv.conf" # no name is asked for outside
    if [ -n "${TESTBED_PASSWORD:-}" ]; then
      sed "s|^root:[^:]*:|root:$(openssl passwd -6 "$TESTBED_PASSWORD"):|" /etc/shadow > "/etc/netns/$P-$h/shadow"
      chmod 600 "/etc/netns/$P-$h/shadow"
    fi
    sed "s|^\(root:.*:\)[^:]*$|\1${TESTBED_SHELL:-/bin/bash}|" /etc/passwd > "/etc/netns/$P-$h/passwd"
  done
  printf '127.0.0.1 localhost\n10.99.1.2 login\n' > "/etc/netns/$P-laptop/hosts"
  ip link add eth0 netns "$P-laptop" type veth peer name eth0 netns "$P-login"
  ip -n "$P-login" link add br0 type bridge
  for g in $NODES; do
    ip link add "v$g" netns "$P-login" type veth peer name eth0 netns "$P-$g"
    ip -n "$P-login" link set "v$g" master br0 up
  done
  ip -n "$P-laptop" addr add 10.99.1.1/24 dev eth0; ip -n "$P-laptop" link set eth0 up
  ip -n "$P-login" addr add 10.99.1.2/24 dev eth0; ip -n "$P-login" link set eth0 up
  ip -n "$P-login" addr add 10.99.2.1/24 dev br0; ip -n "$P-login" link set br0 up
  ip -n "$P-gpu01" addr add 10.99.2.2/24 dev eth0; ip -n "$P-gpu01" link set eth0 up
  ip -n "$P-gpu02" addr add 10.99.2.3/24 dev eth0; ip -n "$P-gpu02" link set eth0 up

  ssh-keygen -q -t ed25519 -N '' -f "$D/id"
  : > "$D/known_hosts"
  for h in $HOSTS; do
    ssh-keygen -q -t ed25519 -N '' -f "$D/$h.hk"
    echo "$h $(cut -d' ' -f1,2 "$D/$h.hk.pub")" >> "$D/known_hosts"
    printf '%s\n' "HostKey $D/$h.hk" "PidFile $D/sshd-$h.pid" "AuthorizedKeysFile $D/id.pub" "StrictModes no" "UsePAM no" "PasswordAuthentication no" \
      "PrintMotd no" "SetEnv SLURM_CONF=$SLURM_CONF ${TESTBED_ENV:-}" "Subsystem sftp internal-sftp" > "$D/$h.sshd"
    [ -z "${TESTBED_PASSWORD:-}" ] || sed -i 's/^PasswordAuthentication no/PasswordAuthentication yes\nPermitRootLogin yes\nAuthenticationMethods publickey,password/' "$D/$h.sshd"
    [ -z "${TESTBED_SSHD:-}" ] || printf '%s\n' "$TESTBED_SSHD" >> "$D/$h.sshd"
  done
  printf '%s\n' "Host *" " User root" " IdentityFile $D/id" " IdentitiesOnly yes" " UserKnownHostsFile $D/known_hosts" " GlobalKnownHostsFile /dev/null" \
    " StrictHostKeyChecking yes" "Host gpu*" " ProxyJump login" > "$D/ssh_config"
  for k in laptop cluster; do cp "$D/ssh_config" "$D/home/$k/.ssh/config"; done
  sed -i '/^Host gpu/,$d' "$D/home/cluster/.ssh/config"
  if [ -n "${TESTBED_RUNTIME:-}" ]; then # the machine's runtimes are installed on every host
    mkdir -p "$D"/home/{laptop,cluster}/.local/share/anomalymatch/runtime
    echo "$TESTBED_RUNTIME" > "$D/runtime"
  fi

  if [ -n "${TESTBED_NO_SLURM:-}" ]; then
    for h in $HOSTS; do start "$h"; done
    return 0
  fi
  (umask 077; head -c 128 /dev/urandom > "$D/munge.key")
  munged --force --socket="$D/munge/sock" --key-file="$D/munge.key" --pid-file="$D/munged.pid" --log-file="$D/log/munged" --seed-file="$D/munge.seed"
  cat > "$SLURM_CONF" <<C
ClusterName=bed
SlurmctldHost=login(10.99.2.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$D/munge/sock,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
MpiDefault=none
KillWait=5
SlurmdTimeout=10
SlurmctldPidFile=$D/slurmctld.pid
SlurmdPidFile=$D/slurmd-%n.pid
SlurmdSpoolDir=$D/state/%n
StateSaveLocation=$D/state/ctld
SlurmctldLogFile=$D/log/slurmctld
SlurmdLogFile=$D/log/slurmd-%n
GresTypes=gpu
MaxArraySize=100
NodeName=gpu01 NodeAddr=10.99.2.2 CPUs=2 RealMemory=1024 Gres=gpu:1
NodeName=gpu02 NodeAddr=10.99.2.3 CPUs=2 RealMemory=1024 Gres=gpu:1
PartitionName=gpu Nodes=gpu[01-02] Default=YES MaxTime=60 DefaultTime=5 PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=gpu[01-02] MaxTime=60 DefaultTime=5 PriorityTier=10 PreemptMode=OFF
C
  sed -i "s/CPUs=2/CPUs=$(nproc)/" "$SLURM_CONF"
  echo CgroupPlugin=cgroup/v1 > "$D/cgroup.conf"
  : > "$D/gres.conf"
  for g in $NODES; do
    mkdir -p "$D/state/$g"; mknod -m 666 "$D/gpu/$g" c 1 3
    echo "NodeName=$g Name=gpu File=$D/gpu/$g" >> "$D/gres.conf"
  done
  for h in $HOSTS; do start "$h"; done
  for i in $(seq 150); do
    s=$( (on login sinfo -h -N -o "%N %T" -p gpu) 2>/dev/null || true)
    [ "$(grep -c ' idle$' <<<"$s")" = 2 ] && return 0
    sleep 0.2
  done
  tail -n 20 "$D"/log/* >&2
  return 1
}

down() { # by namespace and by pid only
  set +e
  for h in laptop $HOSTS; do stop "$h"; done
  [ -s "$D/munged.pid" ] && kill "$(cat "$D/munged.pid")"
  for h in laptop $HOSTS; do
    for i in $(seq 50); do [ -z "$(ip netns pids "$P-$h" 2>/dev/null)" ] && break; sleep 0.1; done
    ip netns del "$P-$h"; rm -rf "/etc/netns/$P-$h"
  done
  return 0
}

verb=$1
case $verb in
on | start | stop) host=$2; shift 2 ;;
*) shift ;;
esac
D=$1 P=$2; shift 2
NODES="gpu01 gpu02" HOSTS="login gpu01 gpu02"
export SLURM_CONF=$D/slurm.conf
case $verb in
on | start | stop) "$verb" "$host" "$@" ;;
*) "$verb" ;;
esac
