# SPDX-License-Identifier: Apache-2.0
# Completion of nearcall(1) for bash: commands, options, and what the servers themselves say of their services.

_nearcall_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }

_nearcall_options() {
  local files="--proto --protoset --import-path"
  case $1 in
    ls | describe) echo "--help --timeout $files" ;;
    call) echo "--help --timeout $files --priority --data --header --emit-defaults --pretty --verbose" ;;
    ping) echo "--help --timeout --priority --count" ;;
    stat) echo "--help --timeout --once --count --interval --json --prometheus --emit-defaults" ;;
    trace) echo "--help --timeout --count --json" ;;
    bench) echo "--help --timeout $files --priority --data --header --rate --concurrency --connections --count \
      --duration --json" ;;
    *) echo "--help --version" ;;
  esac
}

_nearcall() {
  local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]-} address=${COMP_WORDS[2]-}
  local ask=(timeout 2 "${COMP_WORDS[0]}")
  if [ "$COMP_CWORD" -eq 1 ]; then
    _nearcall_words "ls describe call ping stat trace bench --help --version" "$current"
  elif [[ $current == -* ]]; then
    _nearcall_words "$(_nearcall_options "$command")" "$current"
  elif [ "$COMP_CWORD" -eq 2 ]; then
    _nearcall_words "$("${ask[@]}" ls 2>/dev/null | cut -f1)" "$current"
  elif [ "$COMP_CWORD" -eq 3 ] && [[ $command != stat && $command != ping ]]; then
    local services
    services=$("${ask[@]}" ls "$address" 2>/dev/null)
    if [[ $command == call || $command == trace || $command == bench ]] && [[ $current == */* ]]; then
      _nearcall_words "$("${ask[@]}" ls "$address" "${current%%/*}" 2>/dev/null | sed 's/(.*//')" "$current"
    elif [[ $command == call || $command == trace || $command == bench ]]; then
      compopt -o nospace
      _nearcall_words "$(sed 's,$,/,' <<<"$services")" "$current"
    else
      _nearcall_words "$services" "$current"
    fi
  fi
}

complete -o default -F _nearcall nearcall
