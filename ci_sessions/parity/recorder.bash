# Bash sources this file before the traced script (BASH_ENV). From then on, no command of the script
# starts a program: each is recorded and gets its answer from the profile.
#
# How it works: a DEBUG trap sees each command before bash looks it up, and defines a function with
# the command's name. That also catches paths with slashes and changes of PATH. Commands that the
# trap does not see end up in command_not_found_handle, since PATH contains no programs. The
# functions run in a fork of bash and never exec a program, which is why this is fast.
#
# The caller provides __ci_base (the temporary folder), __ci_log (a folder for the records),
# __ci_path (the folder of the real tools), and the functions __ci_answer and __ci_setup, generated
# from the profile. __ci_unset, __ci_listed and __ci_reading say which variables are known only at run
# time, and __ci_watched which others are watched; all are empty if there are none. All names of the
# recorder start with __ci_, are not exported, and work under set -eux, a changed IFS and noglob.

unset BASH_ENV
__ci_main=$BASHPID
__ci_pid=$BASHPID
__ci_code=0
__ci_chain=
__ci_n=0
__ci_quiet=
__ci_over=
__ci_limit=${__ci_most:-20000}
declare -A __ci_noted=() __ci_tainted=() __ci_builtin=() __ci_defined=() __ci_opaque=() __ci_silent=() __ci_actions=()
__ci_own=${BASH_SOURCE[0]}
for __ci_i in $__ci_watched; do __ci_tainted[$__ci_i]=1; done # a read is noted, though it is set

# A word as bash prints it in BASH_COMMAND, with up to six levels of nested parentheses and braces.
__ci_nest='[^()]*' __ci_brace='[^{}]*'
for __ci_i in 1 2 3 4 5 6; do
  __ci_nest="([^()]|\\($__ci_nest\\))*" __ci_brace="([^{}]|\\{$__ci_brace\\})*"
done
__ci_nest="\\\$\\($__ci_nest\\)" __ci_brace="\\\$\\{$__ci_brace\\}"
__ci_dollar='\$[A-Za-z_][A-Za-z0-9_]*|\$[0-9@*#?$!_-]|'$__ci_brace'|'$__ci_nest'|`[^`]*`'
__ci_piece="[^[:space:]\"'\$\`\\\\;|&<>()]|\\\\.|'[^']*'|\\\$'([^'\\\\]|\\\\.)*'|\"([^\"\\\\\$\`]|\\\\.|$__ci_dollar)*\"|$__ci_dollar"
__ci_word="^($__ci_piece)+"
__ci_built_name="^((declare|typeset|local) -[a-zA-Z]*[np][a-zA-Z]* .*|(\\[\\[?|test) (.* )?-v +[^ ]*)[\$\"'\\\\]"
__ci_assign="^[A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])?\+?=(\([^()]*\)|($__ci_piece)*)[[:space:]]*"

# Set __ci_where to the call stack, innermost first, without the recorder's own lines.
__ci_stack() {
  local i
  __ci_where=
  for ((i = 1; i < ${#BASH_SOURCE[@]}; i++)); do
    [[ ${BASH_SOURCE[i]} == "$__ci_own" || ${FUNCNAME[i - 1]} == __ci_debug ]] ||
      __ci_where+=${BASH_SOURCE[i]}:${BASH_LINENO[i - 1]}$'\n'
  done
}

__ci_note() { # kind, text, innermost line: record something other than a command
  local __ci_where __ci_born
  __ci_stack
  __ci_birth
  __ci_where=${3-}$__ci_where
  builtin printf '%s\0' "$1" "$__ci_chain" "$__ci_n" "$BASHPID:$__ci_born" \
    "${__ci_where:-${__ci_last-}}" "$PWD" 1 "$2" '' >>"$__ci_log/$BASHPID"
}

# Set __ci_born to when this process started, in clock ticks since boot. It tells the order of
# processes where their IDs wrap around.
__ci_birth() {
  local -a __ci_fields=()
  IFS=' ' builtin read -r -a __ci_fields 2>/dev/null </proc/self/stat || :
  __ci_born=
  [[ ${__ci_fields[1]-} != *')' ]] || __ci_born=${__ci_fields[21]-}
}

# Runs in a fork: record one command, answer it, exit.
__ci_run() {
  builtin trap - DEBUG EXIT ERR RETURN
  builtin set +eufxT
  builtin set +o pipefail
  local IFS=$' \t\n' __ci_where __ci_born
  local __ci_given=()
  [[ $__ci_quiet ]] || __ci_is_silent "$@" || {
    __ci_stack
    __ci_birth
    __ci_program_text "$@"
    builtin printf '%s\0' command "$__ci_chain" "$__ci_n" "$BASHPID:$__ci_born" \
      "$__ci_where" "$PWD" "$(($# + ${#__ci_given[@]}))" "$@" "${__ci_given[@]}"
    builtin export -p
    builtin printf '\0'
  } >>"$__ci_log/$BASHPID"
  if [[ $__ci_reading && ( $* == env || $* == printenv ) ]]; then
    # Harmless on the screen, but not where a file, a pipe or a substitution gets it.
    [[ /proc/self/fd/1 -ef /proc/$__ci_main/fd/1 ]] || __ci_note unknown "all of the environment"
  fi
  __ci_answer "$@"
  builtin exit $?
}

# Read-only tools and sleep are not recorded, unless their options make them write or run something.
__ci_is_silent() {
  [[ ${__ci_silent[$1]-} ]] || return 1
  case "$* " in
  env\ ?* | awk*system* | gawk*system*) return 1 ;;
  find*\ -exec\ * | find*\ -execdir\ * | find*\ -ok* | find*\ -delete* | find*\ -f[pl]*) return 1 ;;
  sed*\ -i* | sed*\ -[a-zA-Z]i* | sed*\ --in-place* | sort*\ -o* | sort*\ -[a-zA-Z]o* | sort*\ --output*) return 1 ;;
  esac
}

# Set __ci_given to the program that an interpreter reads from a here-document.
__ci_program_text() {
  case "${1##*/} ${2-} $#" in
  python*\ -\ 2 | python*\ \ 1 | bash\ \ 1 | sh\ \ 1 | bash\ -s\ 2 | sh\ -s\ 2) ;;
  *) return 0 ;;
  esac
  local __ci_text=
  IFS= builtin read -r -t 2 -d '' -N 65536 __ci_text || :
  [[ ! $__ci_text ]] || __ci_given=("<<" "$__ci_text")
}

# The first command of the EXIT trap: record where the script ended. The script's own EXIT actions
# then run in a fork, since only there does the DEBUG trap see each command of a trap.
__ci_exit() {
  __ci_code=$? __ci_over=1
  [[ $BASHPID == "$__ci_main" ]] || return 0
  if [[ $- != *T* || $(builtin trap -p DEBUG) != *"__ci_debug"* ]]; then
    __ci_note untraceable "the script turned off tracing"
  fi
  builtin printf '\036' # later output cannot explain why the script ended
  builtin printf '%s\0' end '' 0 "$BASHPID:" "${__ci_last-}" "$PWD" 0 '' >>"$__ci_log/$BASHPID"
}
__ci_status() { return "$1"; }
__ci_at_exit='__ci_exit; (
  if __ci_status "$__ci_code"; then builtin eval "${__ci_actions[EXIT]-}"; else builtin eval "${__ci_actions[EXIT]-}"; fi
  builtin exit "$__ci_code"
); builtin exit $?'

trap() {
  local __ci_option= __ci_action __ci_name __ci_wrapped
  while [[ ${1-} == -* && $1 != - ]]; do
    case $1 in
    --) builtin shift && break ;;
    *) __ci_option=$1 && builtin shift ;;
    esac
  done
  if [[ $__ci_option ]]; then
    [[ $__ci_option == -l || $# == 0 ]] && { builtin trap "$__ci_option" "$@"; return; }
    for __ci_name; do
      __ci_signal "$__ci_name"
      [[ ! ${__ci_actions[$__ci_name]+set} ]] ||
        builtin printf 'trap -- %s %s\n' "${__ci_actions[$__ci_name]@Q}" "$__ci_name"
    done
    return 0
  fi
  [[ $# != 0 ]] || { builtin trap; return; }
  __ci_action=$1
  if [[ $# == 1 ]]; then __ci_action=-; else builtin shift; fi
  for __ci_name; do
    __ci_signal "$__ci_name"
    case $__ci_name in
    DEBUG)
      __ci_note untraceable "the script traps DEBUG itself, which tracing needs"
      builtin continue
      ;;
    esac
    builtin unset "__ci_actions[$__ci_name]"
    [[ $__ci_action == - ]] || __ci_actions[$__ci_name]=$__ci_action
    __ci_wrapped="(builtin eval \"\${__ci_actions[$__ci_name]}\")"
    [[ $__ci_action != *exit* ]] || __ci_wrapped+='; builtin exit $?'
    case $__ci_name:$__ci_action in
    EXIT:*) builtin trap -- "$__ci_at_exit" EXIT ;;
    *:- | *:) builtin trap -- "$__ci_action" "$__ci_name" ;;
    *) builtin trap -- "$__ci_wrapped" "$__ci_name" ;;
    esac
  done
}
__ci_signal() { # name or number: set __ci_name to the key in __ci_actions
  __ci_name=${1^^}
  __ci_name=${__ci_name#SIG}
  [[ $__ci_name != 0 ]] || __ci_name=EXIT
}

# Note the variables in a command whose values are known only at run time, and that the script has not
# set itself. __ci_unset is a pattern of their names, __ci_reading one of the commands that may read
# one. A plain assignment reads nothing, and one of such a variable from others (A=${A:-${B:-}}) decides
# nothing yet: A stays unknown. A line that is printed does: the trap cannot see that a pipe or a
# substitution gets it.
__ci_reads() { # command, line, positional parameters...
  local __ci_text=$1 __ci_line=$2 __ci_saved=("${BASH_REMATCH[@]}") __ci_name __ci_left=$1 __ci_found=
  local -A __ci_names=()
  # A name that is put together: of a reference, of a variable whose text is printed, or that may be set.
  if [[ $__ci_watched && $1 =~ $__ci_built_name ]]; then
    __ci_names["all of the environment"]=1
  fi
  builtin shift 2
  local IFS=$' \t\n' __ci_flags=$-
  builtin set +u
  case $__ci_text in
  set | export | "export -p" | "declare -"[px] | "typeset -"[px] | "compgen -"[ev]* | *environ* | *ENVIRON\[*)
    __ci_names["all of the environment"]=1
    ;;
  "unset "* | "export "* | "local "* | "readonly "*) [[ $__ci_text == *\$* ]] || __ci_left= __ci_text= ;;
  esac
  while [[ $__ci_left =~ \$\{!([A-Za-z_][A-Za-z0-9_]*|[0-9])([@*]?) ]]; do
    __ci_name=${BASH_REMATCH[1]} __ci_left=${__ci_left#*"${BASH_REMATCH[0]}"}
    if [[ ${BASH_REMATCH[2]} ]]; then
      [[ " $__ci_listed" != *" $__ci_name"* ]] || __ci_names["$__ci_name*"]=1
    else
      [[ $__ci_name == [0-9] ]] && __ci_name=${@:__ci_name:1} || __ci_name=${!__ci_name-}
      [[ $__ci_name != $__ci_unset || -v $__ci_name && ! ${__ci_tainted[$__ci_name]-} ]] ||
        __ci_names[$__ci_name]=1
    fi
  done
  builtin set -f
  for __ci_name in ${__ci_text//[!A-Za-z0-9_]/ }; do
    [[ $__ci_name == $__ci_unset ]] || builtin continue
    [[ ! -v $__ci_name || ${__ci_tainted[$__ci_name]-} ]] || builtin continue
    [[ ! $__ci_text =~ (^|[^A-Za-z0-9_])$__ci_name([^A-Za-z0-9_=]|=[=~]|$)|[\$\{#!]$__ci_name= ]] ||
      __ci_names[$__ci_name]=1
  done
  [[ $__ci_flags == *f* ]] || builtin set +f
  [[ $__ci_flags != *u* ]] || builtin set -u
  local __ci_word='[^][:space:]`(;&|=?]*'
  if [[ $__ci_text =~ ^([A-Za-z_][A-Za-z0-9_]*)=$__ci_word$ && ${BASH_REMATCH[1]} == $__ci_unset ]]; then
    __ci_tainted[${BASH_REMATCH[1]}]=${__ci_names[*]+1}
    [[ $__ci_watched ]] || __ci_names=()
  fi
  for __ci_name in "${!__ci_names[@]}"; do
    [[ ${__ci_noted["$__ci_name $__ci_line"]-} ]] ||
      __ci_note unknown "$__ci_name" "${BASH_SOURCE[2]}:$__ci_line"$'\n'
    __ci_noted["$__ci_name $__ci_line"]=1
  done
  BASH_REMATCH=("${__ci_saved[@]}")
}

command_not_found_handle() { __ci_run "$@"; }

__ci_debug() {
  [[ ${BASH_SOURCE[1]-} != "$__ci_own" ]] || return 0
  if [[ $BASHPID != "$__ci_pid" ]]; then
    __ci_birth
    __ci_chain+="$__ci_n:$BASHPID:$__ci_born "
    __ci_pid=$BASHPID __ci_n=0
  fi
  __ci_n=$((__ci_n + 1))
  # Before the first command of an EXIT trap, bash reports the previous command again, with line 1.
  local __ci_again=
  [[ $1 != "${__ci_previous-}" || $2 != 1 && ! $__ci_over ]] || __ci_again=1
  if [[ $__ci_reading && ! $__ci_again && $1 == $__ci_reading ]]; then
    __ci_reads "$1" "$2" "${@:3:$#-3}"
  fi
  if [[ $2 != 1 || ! $__ci_again ]]; then
    __ci_previous=$1 __ci_last=${BASH_SOURCE[1]-}:$2$'\n'
    [[ ${#BASH_SOURCE[@]} -le 2 ]] || __ci_last+=${BASH_SOURCE[-1]}:${BASH_LINENO[-2]-}$'\n'
  fi
  if [[ $__ci_n -gt $__ci_limit ]]; then
    __ci_note untraceable "more than $__ci_limit commands in one shell: an endless loop?"
    builtin exit 199
  fi
  case $1 in
  '[['* | '(('* | 'for '* | 'case '* | 'select '*) return 0 ;;
  esac
  local __ci_whole=$1 __ci_text=$1 __ci_raw=${1%%[[:space:]]*} __ci_ifs=${IFS-$' \t\n'} IFS=$' \t\n'
  builtin set -- "${@:3:$#-3}"
  case $__ci_raw in
  *[!A-Za-z0-9_./:+@%,-]*) ;;
  *) # the usual case: a plain word, which needs no parsing
    __ci_text=${__ci_text:${#__ci_raw}}
    __ci_prepare "$__ci_raw" "${__ci_text#"${__ci_text%%[![:space:]]*}"}" "$@"
    return 0
    ;;
  esac
  local __ci_saved=("${BASH_REMATCH[@]}") __ci_words=()
  while [[ $__ci_text == [A-Za-z_]*=* && $__ci_text =~ $__ci_assign ]]; do
    __ci_text=${__ci_text:${#BASH_REMATCH[0]}}
  done
  while [[ $__ci_text && ${#__ci_words[@]} == 0 ]]; do
    if ! [[ $__ci_text =~ $__ci_word ]]; then
      case $__ci_text in
      [\<\>]* | [0-9]* | \&\>* | \{*) ;; # only a redirection
      *) __ci_note untraceable "cannot parse the command: $__ci_whole" ;;
      esac
      break
    fi
    __ci_raw=${BASH_REMATCH[0]}
    __ci_text=${__ci_text:${#__ci_raw}}
    __ci_text=${__ci_text#"${__ci_text%%[![:space:]]*}"}
    case $__ci_raw in
    *[\$\`\"\'\\*?~{]*) __ci_expand "$__ci_raw" "$@" ;;
    *) __ci_words=("$__ci_raw") ;;
    esac
  done
  BASH_REMATCH=("${__ci_saved[@]}")
  [[ ${#__ci_words[@]} == 0 ]] || __ci_prepare "${__ci_words[0]}" "$__ci_text" "$@"
  return 0
}

__ci_expand() { # raw, positional parameters...: set __ci_words without side effects
  local __ci_one=$1 __ci_quiet=1 __ci_set=$- __ci_frames=0
  builtin shift
  if [[ $__ci_one == *BASH_SOURCE* || $__ci_one == *FUNCNAME* ]]; then # count from the script's frame
    while [[ ${BASH_SOURCE[__ci_frames]-} == "$__ci_own" ]]; do __ci_frames=$((__ci_frames + 1)); done
    __ci_one=${__ci_one//BASH_SOURCE\[/BASH_SOURCE[$__ci_frames+}
    __ci_one=${__ci_one//FUNCNAME\[/FUNCNAME[$__ci_frames+}
    __ci_one=${__ci_one//\$BASH_SOURCE/\$\{BASH_SOURCE[$__ci_frames]\}}
    __ci_one=${__ci_one//BASH_SOURCE\}/BASH_SOURCE[$__ci_frames]\}}
  fi
  builtin set +ux
  __ci_words=()
  local IFS=$__ci_ifs
  case $__ci_one in
  *++* | *--* | *:=* | *\(\(*=*) # an assignment would happen twice, so expand in a fork
    __ci_words=("$(builtin eval "builtin set -- $__ci_one" 2>/dev/null; builtin printf %s "${1-}")")
    ;;
  *)
    builtin eval "builtin set -- $__ci_one" 2>/dev/null && __ci_words=("$@")
    ;;
  esac
  [[ $__ci_set != *u* ]] || builtin set -u
  [[ $__ci_set != *x* ]] || builtin set -x
}

__ci_prepare() { # word, rest of the command, positional parameters...
  local __ci_name=$1 __ci_rest=$2
  case $__ci_name in
  exec)
    case $__ci_rest in
    '' | [0-9\<\>\&\{]*) builtin unset -f exec ;;
    *) # no command after an exec runs, and no EXIT trap
      exec() {
        while [[ ${1-} == -* ]]; do
          [[ $1 != -*a* ]] || builtin shift
          builtin shift
        done
        (__ci_run "$@")
        local __ci_ended=$?
        __ci_exit
        builtin trap - EXIT
        builtin exit "$__ci_ended"
      }
      ;;
    esac
    return 0
    ;;
  source | .)
    builtin shift 2
    __ci_words=()
    local __ci_saved=("${BASH_REMATCH[@]}")
    [[ $__ci_rest =~ $__ci_word ]] && __ci_expand "${BASH_REMATCH[0]}" "$@"
    BASH_REMATCH=("${__ci_saved[@]}")
    if [[ -f ${__ci_words[0]-} ]] && __ci_is_script "${__ci_words[0]}"; then
      builtin unset -f source .
    else
      source() { (__ci_run source "$@"); }
      function . { (__ci_run source "$@"); }
    fi
    return 0
    ;;
  set | shopt)
    if [[ " $__ci_rest " == *" +"*T* || $__ci_rest == *functrace* || $__ci_rest == *posix* ]]; then
      __ci_note untraceable "the script changes an option that tracing needs: $__ci_name $__ci_rest"
    fi
    return 0
    ;;
  builtin | command)
    case $__ci_rest in
    "trap '__ci_debug "*) ;; # the recorder's own trap command
    exec* | trap* | source* | .\ * | set* | shopt* | kill* | enable* | [\$\"\'\`]*)
      [[ $__ci_name != command || $__ci_rest == [es.tk]* ]] || return 0
      __ci_note untraceable "$__ci_name hides a command from tracing: $__ci_name $__ci_rest"
      ;;
    esac
    return 0
    ;;
  esac
  [[ ${__ci_builtin[$__ci_name]-} ]] && return 0
  if [[ ${__ci_opaque[$__ci_name]-} ]]; then
    :
  elif builtin declare -F -- "$__ci_name" >/dev/null; then
    return 0
  fi
  __ci_define "$__ci_name"
}

__ci_define() { # name: define a function of that name which records the command
  case $1 in
  *[!A-Za-z0-9_./:+@%,-]*)
    __ci_note untraceable "cannot record a command with the name ${1@Q}"
    return 0
    ;;
  esac
  __ci_defined[$1]=1
  builtin eval "function $1 { (__ci_run $1 \"\$@\"); }"
  return 0
}

__ci_is_script() { # file: whether it is one of the checkout's own scripts
  local __ci_file=$1
  [[ $__ci_file == /* ]] || __ci_file=$PWD/$__ci_file
  while [[ $__ci_file == *//* ]]; do __ci_file=${__ci_file//\/\//\/}; done
  case $__ci_file in
  */../* | */./*)
    local __ci_folder=${__ci_file%/*}
    __ci_file=$(builtin cd -- "$__ci_folder" 2>/dev/null && builtin pwd)/${__ci_file##*/}
    ;;
  esac
  [[ $__ci_file == "$__ci_scripts"/* ]]
}

__ci_inside() { # paths...: whether all are in the temporary folder, with links resolved
  local __ci_rest __ci_count=0
  __ci_rest=$("$__ci_path/realpath" -m -- "$@" 2>/dev/null) || return 1
  __ci_rest+=$'\n'
  while [[ $__ci_rest ]]; do
    case ${__ci_rest%%$'\n'*} in
    "$__ci_base"/tmp/* | "$__ci_base"/abs/* | "$__ci_base"/site/* | "$__ci_base"/home/*) ;;
    *) return 1 ;;
    esac
    __ci_rest=${__ci_rest#*$'\n'} __ci_count=$((__ci_count + 1))
  done
  [[ $__ci_count == "$#" ]] # not if one cannot be resolved, or has a newline
}

__ci_write() { # option, arguments...: write the file that the option names
  local __ci_option=$1
  while [[ $# -gt 1 ]]; do
    builtin shift
    [[ $1 != "$__ci_option" ]] || __ci_file=${2-}
    [[ $1 != "$__ci_option="* ]] || __ci_file=${1#*=}
  done
  [[ ! ${__ci_file-} ]] || ! __ci_inside "$__ci_file" || builtin echo written >"$__ci_file"
}

__ci_program() { builtin exec "$__ci_path/$@"; }

# Run the real tool if that is harmless: in this fork, inside the temporary folder. Commands that
# write elsewhere, or could start a program, do nothing.
__ci_tool() {
  local __ci_tool=${1##*/} __ci_all=" $* "
  builtin shift
  case $__ci_tool in
  ls | realpath | readlink | basename | dirname | expr | seq | diff | cmp | comm)
    __ci_program "$__ci_tool" "$@"
    ;;
  egrep | fgrep) # shell scripts on some systems
    [[ $__ci_tool == egrep ]] && builtin set -- -E "$@" || builtin set -- -F "$@"
    "$__ci_path/grep" "$@" 2>/dev/null
    return "$(($? != 0))"
    ;;
  grep)
    "$__ci_path/grep" "$@" 2>/dev/null
    return "$(($? != 0))" # 2 means no such file, since only a real run writes it: no match
    ;;
  cut | tr | head | tail | wc | cat | uniq | paste | rev | tac | fold | nl)
    "$__ci_path/$__ci_tool" "$@" 2>/dev/null
    return 0
    ;;
  sort)
    case $__ci_all in
    *" -o"* | *" -"[a-zA-Z]o* | *" --"[oc]*) ;;
    *) __ci_program sort "$@" ;;
    esac
    ;;
  sed)
    case $__ci_all in
    *" -i"* | *" -"[a-zA-Z]i* | *" --in-place"*) __ci_inside_all "$@" || return 0 ;;
    esac
    __ci_program sed --sandbox "$@"
    ;;
  awk | gawk | mawk)
    case $__ci_all in
    *system* | *getline* | *'|'* | *'>'* | *' -f'* | *' -i'* | *' -l'* | *' --'*) ;;
    *) __ci_program awk "$@" ;;
    esac
    ;;
  find)
    case $__ci_all in
    *" -exec "* | *" -execdir "* | *" -ok"* | *" -delete"* | *" -f"[pl]*) ;;
    *) __ci_program find "$@" 2>/dev/null | LC_ALL=C "$__ci_path/sort" ;;
    esac
    ;;
  date) __ci_program date -u -d @1700000000 "$@" ;;
  mktemp) __ci_mktemp "$@" ;;
  tee)
    if __ci_inside_all "$@"; then __ci_program tee "$@"; else __ci_program cat; fi
    ;;
  touch)
    local __ci_one
    for __ci_one; do
      [[ $__ci_one == -* ]] || ! __ci_inside "$__ci_one" || : >>"$__ci_one"
    done
    ;;
  mkdir | rmdir | rm | cp | mv | ln)
    __ci_inside_all "$@" && "$__ci_path/$__ci_tool" "$@" 2>/dev/null
    ;;
  which | command)
    local __ci_name __ci_code=0
    for __ci_name; do
      [[ $__ci_name != -* ]] || continue
      if [[ ${__ci_missing[$__ci_name]-} ]]; then
        __ci_code=1
      elif [[ $__ci_name == */* ]]; then
        [[ -e $__ci_name ]] && builtin printf '%s\n' "$__ci_name" || __ci_code=1
      else
        builtin printf '%s\n' "$__ci_shims/$__ci_name"
      fi
    done
    return "$__ci_code"
    ;;
  env) [[ $# != 0 ]] || builtin export -p ;;
  false) return 1 ;;
  git)
    [[ ${1-} == clone ]] || return 0
    local __ci_folder=${!#}
    case $__ci_folder in
    *://* | *@*:* | *.git) __ci_folder=${__ci_folder##*/} __ci_folder=${__ci_folder%.git} ;;
    esac
    __ci_inside "$__ci_folder" && "$__ci_path/mkdir" -p -- "$__ci_folder"
    ;;
  esac
  return 0
}

__ci_inside_all() { # arguments of a command: whether all that could be files are inside
  local __ci_one __ci_files=()
  for __ci_one; do
    [[ $__ci_one == -* && $__ci_one != */* ]] || __ci_files+=("$__ci_one")
  done
  [[ ${#__ci_files[@]} == 0 ]] || __ci_inside "${__ci_files[@]}"
}

__ci_mktemp() { # always the same name, as in the recorded traces
  local __ci_template=tmp.XXXXXXXXXX __ci_folder= __ci_is_folder=
  while [[ $# != 0 ]]; do
    case $1 in
    -d | --directory) __ci_is_folder=1 ;;
    -p) __ci_folder=$2 && builtin shift ;;
    --tmpdir=*) __ci_folder=${1#*=} ;;
    -t | --tmpdir) __ci_folder=$__ci_tmp ;;
    -*) ;;
    *) __ci_template=$1 ;;
    esac
    builtin shift
  done
  [[ $__ci_folder || $__ci_template != tmp.XXXXXXXXXX ]] || __ci_folder=$__ci_tmp
  [[ $__ci_template =~ X+ ]] && __ci_template=${__ci_template/${BASH_REMATCH[0]}/RANDOM}
  __ci_template=${__ci_folder:+$__ci_folder/}$__ci_template
  __ci_inside "$__ci_template" || return 1
  if [[ $__ci_is_folder ]]; then
    "$__ci_path/mkdir" -p -- "$__ci_template"
  else
    : >"$__ci_template"
  fi
  builtin printf '%s\n' "$__ci_template"
}

# Builtins that could leave the temporary folder, or that check what is installed.
__ci_enter() { # builtin, arguments...: assume that a missing folder exists, and note it
  builtin "$@" 2>/dev/null && return 0
  local __ci_folder=${!#}
  [[ $# -gt 1 && $__ci_folder != [-+]* ]] || { builtin "$@"; return; }
  if [[ $__ci_folder == /* ]] && ! __ci_inside "$__ci_folder"; then
    __ci_folder=$__ci_base/abs$__ci_folder
  elif ! __ci_inside "$__ci_folder"; then
    builtin "$@"
    return
  fi
  "$__ci_path/mkdir" -p -- "$__ci_folder" 2>/dev/null || { builtin "$@"; return; }
  __ci_note "assumed" "the folder ${!#} exists"
  builtin "$1" "$__ci_folder"
}
cd() { __ci_enter cd "$@"; }
pushd() { __ci_enter pushd "$@"; }

command() {
  while [[ ${1-} == -p || ${1-} == -- ]]; do builtin shift; done
  case ${1-} in
  '') return 0 ;;
  -v | -V)
    builtin shift
    if builtin declare -F -- "${1-}" >/dev/null && [[ -z ${__ci_defined[${1-}]-} ]]; then
      builtin printf '%s\n' "$1"
      return 0
    fi
    [[ ${__ci_builtin[${1-}]-} ]] && { builtin printf '%s\n' "$1"; return 0; }
    (__ci_run which "${1-}")
    ;;
  *) if [[ ${__ci_builtin[$1]-} ]]; then builtin "$@"; else (__ci_run "$@"); fi ;;
  esac
}
hash() { [[ $# == 0 || $1 == -* ]] || (__ci_run which "$1") >/dev/null; }
type() {
  case ${1-} in
  -*) (__ci_run which "${@: -1}") ;;
  *) command -v "$@" ;;
  esac
}
ulimit() { :; }
# Used so often that starting a program each time would be slow.
dirname() {
  case $#:${1-} in
  1:-* | 1:*/ | [!1]*) (__ci_run dirname "$@") ;;
  1:/*) [[ ${1%/*} ]] && builtin printf '%s\n' "${1%/*}" || builtin echo / ;;
  1:*/*) builtin printf '%s\n' "${1%/*}" ;;
  *) builtin echo . ;;
  esac
}

if [[ ${BASH_VERSINFO[0]} -lt 5 ]]; then
  builtin echo "tracing needs bash 5 or newer, but this is $BASH_VERSION" >&2
  builtin exit 199
fi
builtin exec {BASH_XTRACEFD}>/dev/null # the output of set -x is not recorded
__ci_setup
builtin ulimit -c 0 2>/dev/null
builtin enable -n kill enable suspend logout fc history bind
for __ci_i in $(builtin compgen -b; builtin compgen -k); do __ci_builtin[$__ci_i]=1; done
builtin unset __ci_i
for __ci_i in command hash type ulimit cd pushd dirname trap; do __ci_builtin[$__ci_i]=1; done
builtin unset __ci_i
builtin readonly -f trap __ci_exit __ci_debug __ci_expand __ci_prepare __ci_run __ci_note __ci_stack
builtin readonly __ci_builtin __ci_log __ci_base __ci_path
builtin trap -- "$__ci_at_exit" EXIT
builtin set -T
builtin trap '__ci_debug "$BASH_COMMAND" "$LINENO" "$@" "$_"' DEBUG # the last argument preserves $_
