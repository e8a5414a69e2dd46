# The container; returns only when it exists.
function Assert-Container([string]$Name) {
    $found = Get-Container $Name
    if ($found.State -eq 'away') {
        Stop-NoEngine
    } elseif ($found.State -ne 'none') {
        return $found
    }
    if ((Get-Container "$runtime-deploy").State -eq 'running') {
        Stop-Script 69 no_container "There is no container $Name now, because an update of $runtime is in progress." 'Try again in a minute.'
    }
    $others = ConvertTo-OneLine ((Invoke-Docker @('ps', '-a', '--filter', 'label=flageemonitor.role=runtime', '--format', '{{.Names}}')).Out)
    if (-not $others) {
        Stop-Script 69 no_container "There is no container $Name, and no other runtime on this host." `
            "If $folder exists, create it again, as administrator: $runtime-update-image --repair"
    }
    $other = $others.Split(' ')[0]
    Stop-Script 69 no_container "There is no container $Name. Runtimes on this host: $others" `
        "Use the command of another runtime, for example: $other-run ..." `
        "If $folder exists, create it again, as administrator: $runtime-update-image --repair"
}

# The container; returns only when it runs.
function Assert-Running([string]$Name) {
    $found = Assert-Container $Name
    $state = $found.State
    if ($state -eq 'paused') {
        Stop-Script 69 not_running "The container $Name is paused." "Resume it: docker unpause $Name"
    } elseif ($state -ne 'running') {
        Stop-Script 69 not_running "The container $Name does not run: it is $state." "Read why: $runtime-logs" `
            "Repair it, as administrator: $runtime-update-image --repair"
    }
    return $found
}
