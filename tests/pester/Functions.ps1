# The functions of a script, without running it: dot-source what Get-Functions gives.

function Get-Root {
    Split-Path -Parent (Split-Path -Parent $PSScriptRoot)
}

# A command as it is written on a host; the caller of these tests made it.
function Get-CommandPath([string]$Name) {
    Join-Path $env:FM_COMMANDS "flageemonitor-$Name.ps1"
}

function Get-Functions([string]$Path) {
    $tokens = $null
    $errors = $null
    $file = if (Test-Path -LiteralPath $Path) { $Path } else { Join-Path (Get-Root) $Path }
    $tree = [System.Management.Automation.Language.Parser]::ParseFile($file, [ref]$tokens, [ref]$errors)
    if ($errors.Count -gt 0) {
        throw "$Path does not parse: $($errors[0].Message)"
    }
    $found = $tree.FindAll({ param($node) $node -is [System.Management.Automation.Language.FunctionDefinitionAst] }, $true)
    [scriptblock]::Create((@($found | ForEach-Object { $_.Extent.Text }) -join "`n"))
}

# What Invoke-Program gives.
function New-Said([string]$Out = '', [int]$Code = 0, [string]$Err = '') {
    @{ Code = $Code; Out = $Out; Err = $Err }
}

# The exit code that the block ends with: of Stop-Script or Stop-Here, else 0.
function Get-ExitCode([scriptblock]$Block) {
    try {
        $null = & $Block
    } catch {
        if (-not $_.Exception.Data.Contains('ExitCode')) {
            throw
        }
        return $_.Exception.Data['ExitCode']
    }
    return 0
}

# What is done, without what is said.
function Get-Lines($Calls) {
    @($Calls | ForEach-Object { $_ -join ' ' })
}
