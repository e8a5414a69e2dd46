# @@container@@

function Invoke-Main([string[]]$Words) {
    $container = if ($command -ceq 'logs') { $runtime } else { "$runtime-watchtower" }
    if ($Words -ccontains '-h' -or $Words -ccontains '--help') {
        return Get-Usage
    }
    $state = (Assert-Container $container).State
    if ($state -ne 'running') {
        Write-Warned "The container $container is $state. Repair it, as administrator: $runtime-update-image --repair"
    }
    # A --tail among the options comes later and is the one that counts.
    $tail = if (@($Words -clike '--since*') + @($Words -clike '--until*')) { '--tail=all' } else { '--tail=200' }
    Invoke-Live (@('logs', $tail) + $Words + @($container)) { param($process) $process.Kill() }
}
