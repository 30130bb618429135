# Completes what comes after `python -m xinit.train` (inspect, compare, theory) with Hydra's answers. For bash.
_xinit() {
    local line=${COMP_LINE:0:COMP_POINT} answer
    [[ $line =~ \ -m\ +(xinit\.(train|inspect|compare|theory))\ +(.*)$ ]] || return
    local module=${BASH_REMATCH[1]} settings=${BASH_REMATCH[3]} word=${line##* }
    local kept=${word%"${word##*[=:]}"} # bash breaks words at = and :, so an answer goes without what lies before them
    while IFS= read -r answer; do # query=fish: an answer on each line
        [[ $answer == "$word"* ]] && COMPREPLY+=("${answer#"$kept"}")
    done < <(COMP_LINE="$module $settings" "${COMP_WORDS[0]/#\~/$HOME}" -m "$module" -sc query=fish 2>/dev/null)
    [[ ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace 2>/dev/null # more is to come
}
complete -o bashdefault -o default -F _xinit python python3
