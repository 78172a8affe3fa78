# Read by bash before the script that is traced (BASH_ENV). From then on no command of the script
# reaches a program: each becomes a record, and gets the answer that the profile has for it.
#
# How it works. A DEBUG trap sees each command before bash looks it up, and defines a function of
# the command's name, so that words with slashes and changes of PATH are caught too. What no trap
# sees ends in command_not_found_handle, since PATH holds no program. A function runs in a fork of
# bash, never in a new program, which is what makes this fast.
#
# Given by the caller: __ci_base (the throwaway folder), __ci_log (a folder for the records),
# __ci_path (where real tools are), and the functions __ci_answer and __ci_setup from the profile.
# Everything of ours is called __ci_*, is not exported, and survives set -eux, IFS and noglob.

unset BASH_ENV
__ci_main=$BASHPID
__ci_pid=$BASHPID
__ci_code=0
__ci_chain=
__ci_n=0
__ci_quiet=
__ci_left=${__ci_most:-20000}
declare -A __ci_builtin=() __ci_defined=() __ci_opaque=() __ci_silent=() __ci_actions=()
__ci_own=${BASH_SOURCE[0]}

# A word as bash prints it in BASH_COMMAND, with parentheses and braces nested six deep.
__ci_nest='[^()]*' __ci_brace='[^{}]*'
for __ci_i in 1 2 3 4 5 6; do
  __ci_nest="([^()]|\\($__ci_nest\\))*" __ci_brace="([^{}]|\\{$__ci_brace\\})*"
done
__ci_nest="\\\$\\($__ci_nest\\)" __ci_brace="\\\$\\{$__ci_brace\\}"
__ci_dollar='\$[A-Za-z_][A-Za-z0-9_]*|\$[0-9@*#?$!_-]|'$__ci_brace'|'$__ci_nest'|`[^`]*`'
__ci_piece="[^[:space:]\"'\$\`\\\\;|&<>()]|\\\\.|'[^']*'|\\\$'([^'\\\\]|\\\\.)*'|\"([^\"\\\\\$\`]|\\\\.|$__ci_dollar)*\"|$__ci_dollar"
__ci_word="^($__ci_piece)+"
__ci_assign="^[A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])?\+?=(\([^()]*\)|($__ci_piece)*)[[:space:]]*"

# Set __ci_where to the callers' lines, innermost first, without ours.
__ci_stack() {
  local i
  __ci_where=
  for ((i = 1; i < ${#BASH_SOURCE[@]}; i++)); do
    [[ ${BASH_SOURCE[i]} == "$__ci_own" || ${FUNCNAME[i - 1]} == __ci_debug ]] ||
      __ci_where+=${BASH_SOURCE[i]}:${BASH_LINENO[i - 1]}$'\n'
  done
}

__ci_note() { # kind, words...: something that a reader of the trace must know
  local __ci_where
  __ci_stack
  builtin printf '%s\0' "$1" "$__ci_chain" "$__ci_n" "$BASHPID" \
    "${__ci_where:-${__ci_last-}}" "$PWD" 1 "$2" '' >>"$__ci_log/$BASHPID"
}

# Runs in a fork: record one command, answer it, end.
__ci_run() {
  builtin trap - DEBUG EXIT ERR RETURN
  builtin set +eufxT
  builtin set +o pipefail
  local IFS=$' \t\n' __ci_where
  local __ci_given=()
  [[ $__ci_quiet ]] || __ci_is_silent "$@" || {
    __ci_stack
    __ci_program_text "$@"
    builtin printf '%s\0' command "$__ci_chain" "$__ci_n" "$BASHPID" \
      "$__ci_where" "$PWD" "$(($# + ${#__ci_given[@]}))" "$@" "${__ci_given[@]}"
    builtin export -p
    builtin printf '\0'
  } >>"$__ci_log/$BASHPID"
  __ci_answer "$@"
  builtin exit $?
}

# A tool that only looks, or waits, leaves no record; one that is told to write or to run does.
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

# Where the script ended, as the first command of its EXIT trap; then its own actions, in a fork:
# only there does bash tell the DEBUG trap which command of a trap comes next.
__ci_exit() {
  __ci_code=$?
  [[ $BASHPID == "$__ci_main" ]] || return 0
  if [[ $- != *T* || $(builtin trap -p DEBUG) != *"__ci_debug"* ]]; then
    __ci_note "not followed" "the script turned tracing off"
  fi
  builtin printf '\036' # what follows in the output is no reason for the end
  builtin printf '%s\0' end '' 0 "$BASHPID" "${__ci_last-}" "$PWD" 0 '' >>"$__ci_log/$BASHPID"
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
      __ci_note "not followed" "the script traps DEBUG itself, which tracing needs"
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
__ci_signal() { # name or number: set __ci_name to what the actions are kept under
  __ci_name=${1^^}
  __ci_name=${__ci_name#SIG}
  [[ $__ci_name != 0 ]] || __ci_name=EXIT
}

command_not_found_handle() { __ci_run "$@"; }

__ci_debug() {
  [[ ${BASH_SOURCE[1]-} != "$__ci_own" ]] || return 0
  if [[ $BASHPID != "$__ci_pid" ]]; then
    __ci_chain+="$__ci_n:$BASHPID "
    __ci_pid=$BASHPID __ci_n=0
  fi
  __ci_n=$((__ci_n + 1))
  # For the first command of an EXIT trap bash repeats the command before it, as of line 1.
  if [[ $2 != 1 || $1 != "${__ci_said-}" ]]; then
    __ci_said=$1 __ci_last=${BASH_SOURCE[1]-}:$2$'\n'
    [[ ${#BASH_SOURCE[@]} -le 2 ]] || __ci_last+=${BASH_SOURCE[-1]}:${BASH_LINENO[-2]-}$'\n'
  fi
  if [[ $__ci_n -gt $__ci_left ]]; then
    __ci_note "not followed" "more than $__ci_left commands in one shell: an endless loop?"
    builtin exit 199
  fi
  case $1 in
  '[['* | '(('* | 'for '* | 'case '* | 'select '*) return 0 ;;
  esac
  local __ci_whole=$1 __ci_text=$1 __ci_raw=${1%%[[:space:]]*} __ci_ifs=${IFS-$' \t\n'} IFS=$' \t\n'
  builtin set -- "${@:3:$#-3}"
  case $__ci_raw in
  *[!A-Za-z0-9_./:+@%,-]*) ;;
  *) # most commands: a plain word, which needs no reading
    __ci_text=${__ci_text:${#__ci_raw}}
    __ci_prepare "$__ci_raw" "${__ci_text#"${__ci_text%%[![:space:]]*}"}" "$@"
    return 0
    ;;
  esac
  local __ci_matched=("${BASH_REMATCH[@]}") __ci_words=()
  while [[ $__ci_text == [A-Za-z_]*=* && $__ci_text =~ $__ci_assign ]]; do
    __ci_text=${__ci_text:${#BASH_REMATCH[0]}}
  done
  while [[ $__ci_text && ${#__ci_words[@]} == 0 ]]; do
    if ! [[ $__ci_text =~ $__ci_word ]]; then
      case $__ci_text in
      [\<\>]* | [0-9]* | \&\>* | \{*) ;; # a redirection only
      *) __ci_note "not followed" "the command cannot be read: $__ci_whole" ;;
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
  BASH_REMATCH=("${__ci_matched[@]}")
  [[ ${#__ci_words[@]} == 0 ]] || __ci_prepare "${__ci_words[0]}" "$__ci_text" "$@"
  return 0
}

__ci_expand() { # raw, positional parameters...: fill __ci_words without lasting effects
  local __ci_one=$1 __ci_quiet=1 __ci_set=$- __ci_ours=0
  builtin shift
  if [[ $__ci_one == *BASH_SOURCE* || $__ci_one == *FUNCNAME* ]]; then # count from the script's frame
    while [[ ${BASH_SOURCE[__ci_ours]-} == "$__ci_own" ]]; do __ci_ours=$((__ci_ours + 1)); done
    __ci_one=${__ci_one//BASH_SOURCE\[/BASH_SOURCE[$__ci_ours+}
    __ci_one=${__ci_one//FUNCNAME\[/FUNCNAME[$__ci_ours+}
    __ci_one=${__ci_one//\$BASH_SOURCE/\$\{BASH_SOURCE[$__ci_ours]\}}
    __ci_one=${__ci_one//BASH_SOURCE\}/BASH_SOURCE[$__ci_ours]\}}
  fi
  builtin set +ux
  __ci_words=()
  local IFS=$__ci_ifs
  case $__ci_one in
  *++* | *--* | *:=* | *\(\(*=*) # what counts would count twice: in a fork, then
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
    *) # what follows an exec never runs, nor does an EXIT trap
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
    local __ci_kept=("${BASH_REMATCH[@]}")
    [[ $__ci_rest =~ $__ci_word ]] && __ci_expand "${BASH_REMATCH[0]}" "$@"
    BASH_REMATCH=("${__ci_kept[@]}")
    if [[ -f ${__ci_words[0]-} ]] && __ci_is_ours "${__ci_words[0]}"; then
      builtin unset -f source .
    else
      source() { (__ci_run source "$@"); }
      function . { (__ci_run source "$@"); }
    fi
    return 0
    ;;
  set | shopt)
    if [[ " $__ci_rest " == *" +"*T* || $__ci_rest == *functrace* || $__ci_rest == *posix* ]]; then
      __ci_note "not followed" "the script changes what tracing needs: $__ci_name $__ci_rest"
    fi
    return 0
    ;;
  builtin | command)
    case $__ci_rest in
    "trap '__ci_debug "*) ;; # our own, of which bash tells once more
    exec* | trap* | source* | .\ * | set* | shopt* | kill* | enable* | [\$\"\'\`]*)
      [[ $__ci_name != command || $__ci_rest == [es.tk]* ]] || return 0
      __ci_note "not followed" "$__ci_name hides a command from tracing: $__ci_name $__ci_rest"
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

__ci_define() { # name: make it a function that records
  case $1 in
  *[!A-Za-z0-9_./:+@%,-]*)
    __ci_note "not followed" "a command is called ${1@Q}, a name that cannot be recorded"
    return 0
    ;;
  esac
  __ci_defined[$1]=1
  builtin eval "function $1 { (__ci_run $1 \"\$@\"); }"
  return 0
}

__ci_is_ours() { # file: one of the checkout's own scripts, copied here
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

__ci_inside() { # paths...: all in the copy, wherever links and the real folder lead
  local __ci_file
  for __ci_file; do
    __ci_file=$("$__ci_path/realpath" -m -- "$__ci_file" 2>/dev/null)
    case $__ci_file in
    "$__ci_base"/tmp/* | "$__ci_base"/abs/* | "$__ci_base"/site/* | "$__ci_base"/home/*) ;;
    *) return 1 ;;
    esac
  done
}

__ci_write() { # option, words...: the file that the option names is written
  local __ci_option=$1
  while [[ $# -gt 1 ]]; do
    builtin shift
    [[ $1 != "$__ci_option" ]] || __ci_file=${2-}
    [[ $1 != "$__ci_option="* ]] || __ci_file=${1#*=}
  done
  [[ ! ${__ci_file-} ]] || ! __ci_inside "$__ci_file" || builtin echo written >"$__ci_file"
}

__ci_program() { builtin exec "$__ci_path/$@"; }

# Answer as the tool itself does where that can do no harm: in this fork, below the throwaway folder.
# What writes elsewhere, or could start a program, is only recorded.
__ci_tool() {
  local __ci_tool=${1##*/} __ci_all=" $* "
  builtin shift
  case $__ci_tool in
  ls | realpath | readlink | basename | dirname | expr | seq | diff | cmp | comm)
    __ci_program "$__ci_tool" "$@"
    ;;
  egrep | fgrep) # scripts, in some systems
    [[ $__ci_tool == egrep ]] && builtin set -- -E "$@" || builtin set -- -F "$@"
    "$__ci_path/grep" "$@" 2>/dev/null
    return "$(($? != 0))"
    ;;
  grep)
    "$__ci_path/grep" "$@" 2>/dev/null
    return "$(($? != 0))" # 2 is a file that only a real run would have written: no match
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
    *" -exec"* | *" -ok"* | *" -delete"* | *" -f"[pl]*) ;;
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

__ci_inside_all() { # words of a command: all that could name a file lies inside
  local __ci_one
  for __ci_one; do
    [[ $__ci_one == -* && $__ci_one != */* ]] || __ci_inside "$__ci_one" || return 1
  done
}

__ci_mktemp() { # the same name each time, as the recorded traces write it
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

# Builtins that would leave the throwaway folder, or ask what is installed here.
__ci_enter() { # builtin, words...: a folder that is not there is assumed, and said
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
# Asked so often that a program each time would be felt.
dirname() {
  case $#:${1-} in
  1:-* | 1:*/ | [!1]*) (__ci_run dirname "$@") ;;
  1:/*) [[ ${1%/*} ]] && builtin printf '%s\n' "${1%/*}" || builtin echo / ;;
  1:*/*) builtin printf '%s\n' "${1%/*}" ;;
  *) builtin echo . ;;
  esac
}

if [[ ${BASH_VERSINFO[0]} -lt 5 ]]; then
  builtin echo "tracing needs bash 5 or newer, and this is $BASH_VERSION" >&2
  builtin exit 199
fi
builtin exec {BASH_XTRACEFD}>/dev/null # what set -x says is not part of the record
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
builtin trap '__ci_debug "$BASH_COMMAND" "$LINENO" "$@" "$_"' DEBUG # the last word keeps $_
