#compdef nearcall
# SPDX-License-Identifier: Apache-2.0
# Completion of nearcall(1) for zsh: commands, options, and what the servers themselves say of their services.

_nearcall_addresses() {
  local -a addresses
  addresses=(${${(f)"$(timeout 2 $nearcall ls 2>/dev/null)"}%%$'\t'*})
  compadd -a addresses
}

_nearcall_services() {
  local -a services
  services=(${(f)"$(timeout 2 $nearcall ls $line[1] 2>/dev/null)"})
  compadd "$@" -a services
}

_nearcall_methods() {
  if [[ $PREFIX != */* ]]; then
    _nearcall_services -S /
    return
  fi
  local -a methods
  methods=(${${(f)"$(timeout 2 $nearcall ls $line[1] ${PREFIX%%/*} 2>/dev/null)"}%%\(*})
  compadd -a methods
}

_nearcall() {
  local nearcall=$words[1] context state
  local -a line commands
  commands=(
    'ls:servers; of one its services; of one of these its methods'
    'describe:a type, method or service, as the text of a .proto file'
    'call:calls a method, with JSON'
    'ping:how long a call takes'
    'stat:what servers do just now'
    'trace:calls of a server, each when it is over'
    'bench:how fast the calls of a method are'
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    compadd -- --help --version
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  local -a timeout=('--timeout[for all of it: seconds, or 500ms, 2m, inf]:time:')
  local -a files=(
    '*--proto[a .proto file in place of reflection]:file:_files -g "*.proto"'
    '*--protoset[a descriptor set in place of reflection]:file:_files'
    '*'{-I,--import-path}'[where --proto is found]:directory:_files -/'
  )
  local -a request=(
    {-d,--data}'[what is sent, in JSON: a text, @FILE, or @-]:JSON:'
    '*'{-H,--header}'[metadata, "name\: value"]:metadata:'
    '--priority[the lane]:lane:(low normal high urgent)'
  )
  case $command in
    ls) _arguments $timeout $files '1:address:_nearcall_addresses' '2:service:_nearcall_services' ;;
    describe) _arguments $timeout $files '1:address:_nearcall_addresses' '2:symbol:_nearcall_services' ;;
    call)
      _arguments $timeout $files $request --emit-defaults --pretty {-v,--verbose} \
        '1:address:_nearcall_addresses' '2:method:_nearcall_methods'
      ;;
    ping)
      _arguments $timeout '--priority[the lane]:lane:(low normal high urgent)' {-n,--count}'[how many]:number:' \
        '1:address:_nearcall_addresses'
      ;;
    stat)
      _arguments $timeout '(-n --count)--once[one table]' '(--once)'{-n,--count}'[how many tables]:number:' \
        '--interval[from one to the next]:time:' '(--prometheus)--json' '(--json)--prometheus' --emit-defaults \
        '1:address:_nearcall_addresses'
      ;;
    trace)
      _arguments $timeout {-n,--count}'[of calls]:number:' --json \
        '1:address:_nearcall_addresses' '2:method:_nearcall_methods'
      ;;
    bench)
      _arguments $timeout $files $request '--rate[calls a second]:rate:' {-c,--concurrency}'[callers]:number:' \
        '--connections[that the callers use]:number:' {-n,--count}'[of calls]:number:' '--duration[at most]:time:' \
        --json '1:address:_nearcall_addresses' '2:method:_nearcall_methods'
      ;;
  esac
}

_nearcall "$@"
