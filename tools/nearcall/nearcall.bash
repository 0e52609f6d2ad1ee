# SPDX-License-Identifier: Apache-2.0
# Completion of nearcall(1) for bash: commands, options, and what the servers themselves say of their services.

_nearcall_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }

_nearcall() {
  local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]-} address=${COMP_WORDS[2]-}
  local ask=(timeout 2 "${COMP_WORDS[0]}")
  if [ "$COMP_CWORD" -eq 1 ]; then
    _nearcall_words "ls describe call ping --help --version" "$current"
  elif [[ $current == -* ]]; then
    _nearcall_words "--help --timeout --proto --protoset --import-path --priority --data --header --emit-defaults \
      --pretty --verbose --count" "$current"
  elif [ "$COMP_CWORD" -eq 2 ]; then
    _nearcall_words "$("${ask[@]}" ls 2>/dev/null | cut -f1)" "$current"
  elif [ "$COMP_CWORD" -eq 3 ]; then
    local services
    services=$("${ask[@]}" ls "$address" 2>/dev/null)
    if [ "$command" = call ] && [[ $current == */* ]]; then
      _nearcall_words "$("${ask[@]}" ls "$address" "${current%%/*}" 2>/dev/null | sed 's/(.*//')" "$current"
    elif [ "$command" = call ]; then
      compopt -o nospace
      _nearcall_words "$(sed 's,$,/,' <<<"$services")" "$current"
    else
      _nearcall_words "$services" "$current"
    fi
  fi
}

complete -o default -F _nearcall nearcall
